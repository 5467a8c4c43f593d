//! How buckets are reached: the options of users, and the stores that they make.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

use super::bucket::{Bucket, Cloud};
use super::client::retries;
use crate::error::{Error, ErrorKind};
use crate::io::location::home_folder;

/// The project that pays for requests to buckets of Google Cloud whose owner does not.
const PAYING_PROJECT: [&str; 2] = ["google_user_project", "user_project"];
/// The token of the Hugging Face Hub.
const HUB_TOKEN: [&str; 2] = ["hf_token", "huggingface_token"];

/// How files in buckets are reached: credentials, endpoints and the like, by the names that
/// [`object_store`] has for them (and with it polars, obstore and deltalake).
///
/// They are the configuration keys of its
/// [S3](https://docs.rs/object_store/0.14/object_store/aws/enum.AmazonS3ConfigKey.html),
/// [Google Cloud](https://docs.rs/object_store/0.14/object_store/gcp/enum.GoogleConfigKey.html) and
/// [Azure](https://docs.rs/object_store/0.14/object_store/azure/enum.AzureConfigKey.html) stores,
/// such as `region`, `endpoint`, `skip_signature` (public buckets, without credentials) and
/// `request_payer`; and also `google_user_project`, the project that pays for requests to Google
/// Cloud, and `hf_token`. Options that are not set come from the environment (`AWS_…`, `GOOGLE_…`,
/// `AZURE_…`, `HF_TOKEN`), from the AWS profile, and from the machine's metadata service.
///
/// Values may be secrets: they are never shown.
///
/// ```
/// use anndata_io::StorageOptions;
///
/// let options = StorageOptions::new([("skip_signature", "true"), ("region", "us-west-2")])?;
/// assert_eq!(format!("{options:?}"), r#"{"region", "skip_signature"}"#);
/// assert!(StorageOptions::new([("regoin", "us-west-2")]).is_err());
/// # Ok::<(), anndata_io::Error>(())
/// ```
///
/// [`object_store`]: https://docs.rs/object_store
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageOptions(Arc<BTreeMap<String, String>>);

impl fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl StorageOptions {
    /// Makes options of names and values. Names may be in upper case.
    ///
    /// # Errors
    /// When a name is not one of the options.
    pub fn new<K: Into<String>, V: Into<String>>(
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Result<StorageOptions, Error> {
        // Secrets that were read from files end with a line break.
        let lower = |(name, value): (K, V)| {
            let value: String = value.into();
            (name.into().to_ascii_lowercase(), value.trim().to_owned())
        };
        let options: BTreeMap<String, String> = options.into_iter().map(lower).collect();
        for name in options.keys() {
            let is_known = name.parse::<AmazonS3ConfigKey>().is_ok()
                || name.parse::<GoogleConfigKey>().is_ok()
                || name.parse::<AzureConfigKey>().is_ok()
                || PAYING_PROJECT.contains(&&**name)
                || HUB_TOKEN.contains(&&**name);
            if !is_known {
                let expected = "names of options of object_store";
                let kind = ErrorKind::invalid(expected, format!("{name:?}"));
                return Err(Error::new("storage_options", "", kind));
            }
        }
        Ok(StorageOptions(Arc::new(options)))
    }

    fn get(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.0.get(*name))
            .map(String::as_str)
    }

    /// What tells the objects of these options from those of others with the same URLs.
    pub(super) fn place(&self) -> String {
        let is_place = |name: &str| {
            let mut words = ["endpoint", "account_name", "base_url"].iter();
            words.any(|word| name.contains(word))
        };
        let options: Vec<_> = self.0.iter().filter(|(name, _)| is_place(name)).collect();
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| {
                name == "AWS_PROFILE" || is_of_stores(name) && is_place(&name.to_ascii_lowercase())
            })
            .collect();
        format!("{options:?} {variables:?}")
    }

    /// The project that pays for requests to Google Cloud.
    pub(super) fn paying_project(&self) -> Option<String> {
        let given = self.get(&PAYING_PROJECT).map(str::to_owned);
        given.or_else(|| std::env::var("GOOGLE_USER_PROJECT").ok())
    }

    /// The token for the Hugging Face Hub: as set, or of the environment, or of its command line.
    pub(super) fn hub_token(&self) -> Option<String> {
        let of_file = || {
            let home = std::env::var_os("HF_HOME").map(PathBuf::from);
            let home = home.or_else(|| Some(home_folder()?.join(".cache/huggingface")))?;
            std::fs::read_to_string(home.join("token")).ok()
        };
        let given = self.get(&HUB_TOKEN).map(str::to_owned);
        let token = given
            .or_else(|| std::env::var("HF_TOKEN").ok())
            .or_else(of_file)?;
        Some(token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    /// The options that a cloud has, by its own keys.
    fn of_cloud<K: FromStr>(&self) -> impl Iterator<Item = (K, &String)> {
        let options = self.0.iter();
        options.filter_map(|(name, value)| Some((name.parse().ok()?, value)))
    }

    /// Makes the store of a bucket.
    pub(super) fn store(
        &self,
        bucket: &Bucket,
        connector: impl HttpConnector,
    ) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(match bucket.cloud() {
            Cloud::S3 => {
                let mut builder = AmazonS3Builder::from_env();
                for (key, value) in profile() {
                    builder = match builder.get_config_value(&key) {
                        None => builder.with_config(key, value),
                        Some(_) => builder,
                    };
                }
                for (key, value) in self.of_cloud() {
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_bucket_name(bucket.name());
                let builder = builder.with_retry(retries());
                Arc::new(builder.with_http_connector(connector).build()?)
            }
            Cloud::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env();
                for (key, value) in self.of_cloud() {
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_bucket_name(bucket.name());
                let builder = builder.with_retry(retries());
                Arc::new(builder.with_http_connector(connector).build()?)
            }
            Cloud::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env();
                for (key, value) in self.of_cloud() {
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_url(bucket.root()).with_retry(retries());
                Arc::new(builder.with_http_connector(connector).build()?)
            }
        })
    }
}

/// A hash of the variables that stores read.
pub(super) fn environment() -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_stores) {
            (name, value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Whether stores read a variable of the environment.
fn is_of_stores(name: &str) -> bool {
    let mut prefixes = ["AWS_", "GOOGLE_", "AZURE_"].iter();
    prefixes.any(|prefix| name.starts_with(prefix))
}

/// The options of the AWS profile that `AWS_PROFILE` names.
fn profile() -> Vec<(AmazonS3ConfigKey, String)> {
    let name = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let file = |variable: &str, name: &str| {
        let set = std::env::var_os(variable).map(PathBuf::from);
        let path = set.or_else(|| Some(home_folder()?.join(".aws").join(name)))?;
        std::fs::read_to_string(path).ok()
    };
    let mut found = Vec::new();
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    found.extend(section(
        &credentials.unwrap_or_default(),
        std::slice::from_ref(&name),
    ));
    let config = file("AWS_CONFIG_FILE", "config").unwrap_or_default();
    found.extend(section(&config, &[format!("profile {name}"), name]));
    // Only these mean the same in profiles and in options.
    let known = [
        ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
        ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
        ("aws_session_token", AmazonS3ConfigKey::Token),
        ("region", AmazonS3ConfigKey::Region),
        ("endpoint_url", AmazonS3ConfigKey::Endpoint),
    ];
    let known = known.into_iter().filter_map(|(name, key)| {
        let (_, value) = found.iter().find(|(found, _)| found == name)?;
        Some((key, value.clone()))
    });
    known.collect()
}

/// The entries of the first of these sections of an INI file.
fn section(text: &str, names: &[String]) -> Vec<(String, String)> {
    let mut is_within = false;
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            is_within = names.iter().any(|name| name == header.trim());
        } else if is_within
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
        {
            entries.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_options_hide_their_values() {
        let options = [("AWS_ACCESS_KEY_ID", "me"), ("secret_access_key", "hush")];
        let options = StorageOptions::new(options).expect("known names");
        assert_eq!(
            format!("{options:?}"),
            r#"{"aws_access_key_id", "secret_access_key"}"#
        );
        let error = StorageOptions::new([("secret_acces_key", "hush")]).expect_err("a typo");
        let error = error.to_string();
        assert!(
            error.contains("secret_acces_key") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn section_is_that_of_the_profile() {
        let text =
            "[default]\naws_access_key_id = one\n# region = no\n\n[profile two]\nregion=west\n";
        let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let names = |name: &str| [name.to_owned()];
        assert_eq!(
            section(text, &names("default")),
            [entry("aws_access_key_id", "one")]
        );
        assert_eq!(
            section(text, &names("profile two")),
            [entry("region", "west")]
        );
        assert_eq!(section(text, &names("three")), []);
    }
}
