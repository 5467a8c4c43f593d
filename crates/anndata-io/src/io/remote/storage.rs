//! How buckets are reached: the options of users, and the stores that they make.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientConfigKey;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use super::bucket::{Bucket, Cloud};
use super::failure::Failure;
use super::profile::profile;
use super::stores::retries;
use crate::error::{Error, ErrorKind};
use crate::io::location::home_folder;

/// The project that pays for requests to buckets of Google Cloud whose owner does not.
const PAYING_PROJECT: [&str; 2] = ["google_user_project", "user_project"];
/// How long a server may send nothing, and how long a connection may take.
const STALL: [&str; 2] = ["timeout", "read_timeout"];
const CONNECT: [&str; 1] = ["connect_timeout"];
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
/// Cloud, and `hf_token`. `timeout` (or `read_timeout`) is how long a server may send nothing (by
/// default `30s`), and `connect_timeout` how long a connection may take (`20s`). Options that are not set come from the environment (`AWS_…`, `GOOGLE_…`,
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
            let name = name.into().to_ascii_lowercase();
            (bare(&name).to_owned(), value.trim().to_owned())
        };
        let options: BTreeMap<String, String> = options.into_iter().map(lower).collect();
        let refuse = |expected: &str, found: String| {
            let kind = ErrorKind::invalid(expected, found);
            Err(Error::new("storage_options", "", kind))
        };
        for (name, value) in &options {
            let name = &**name;
            if STALL.contains(&name) || CONNECT.contains(&name) {
                match humantime::parse_duration(value) {
                    Ok(time) if !time.is_zero() => continue,
                    _ => return refuse("a time such as 30s", format!("{name} = {value:?}")),
                }
            }
            if let Err(expected) = check_value(name, value) {
                return refuse(expected, shown(name, value));
            }
            let of_client = name.parse::<ClientConfigKey>();
            if of_client.is_ok_and(|key| key != ClientConfigKey::AllowHttp) {
                let expected = "only timeout and connect_timeout, of the options for connections \
                                (proxies and certificates come from HTTPS_PROXY and SSL_CERT_FILE)";
                return refuse(expected, format!("{name:?}"));
            }
            let is_known = name.parse::<AmazonS3ConfigKey>().is_ok()
                || name.parse::<GoogleConfigKey>().is_ok()
                || name.parse::<AzureConfigKey>().is_ok()
                || PAYING_PROJECT.contains(&name)
                || HUB_TOKEN.contains(&name);
            if !is_known {
                let expected = "names of options of object_store, such as region, endpoint, \
                                access_key_id, secret_access_key, session_token, skip_signature, \
                                request_payer, service_account, account_name, account_key, \
                                sas_token, timeout";
                return refuse(expected, format!("{name:?}"));
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

    /// How long a server is waited for.
    pub(super) fn timeouts(&self) -> Timeouts {
        let set = |names| humantime::parse_duration(self.get(names)?).ok();
        Timeouts {
            connect: set(&CONNECT).unwrap_or(Duration::from_secs(20)),
            stall: set(&STALL).unwrap_or(Duration::from_secs(30)),
        }
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
    fn of_cloud<K: FromStr>(&self) -> Vec<(K, String)> {
        let options = self.0.iter();
        known(options.map(|(name, value)| (name.clone(), value.clone())))
    }

    /// The options of S3: as set, or of the environment, or of the profile.
    fn amazon(&self) -> AmazonS3Builder {
        amazon([self.of_cloud(), known(variables(Cloud::S3)), profile()])
    }

    /// The region of S3 that the user named.
    pub(super) fn region(&self) -> Option<String> {
        self.amazon().get_config_value(&AmazonS3ConfigKey::Region)
    }

    /// Makes the store of a bucket, which is in `region` unless the user named one.
    pub(super) fn store(
        &self,
        bucket: &Bucket,
        connector: impl HttpConnector,
        region: Option<&str>,
    ) -> Result<Arc<dyn ObjectStore>, Failure> {
        let retries = retries(self.timeouts());
        check_environment(bucket.cloud())?;
        let built = self.build(bucket, connector, region, retries);
        built.map_err(|error| Failure::of_options(&error))
    }

    fn build(
        &self,
        bucket: &Bucket,
        connector: impl HttpConnector,
        region: Option<&str>,
        retries: RetryConfig,
    ) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(match bucket.cloud() {
            Cloud::S3 => {
                let mut builder = self.amazon();
                if let Some(region) = region {
                    builder = builder.with_config(AmazonS3ConfigKey::DefaultRegion, region);
                }
                let builder = builder.with_bucket_name(bucket.name());
                let builder = builder.with_retry(retries);
                Arc::new(builder.with_http_connector(connector).build()?)
            }
            Cloud::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env();
                for (key, value) in known(variables(Cloud::Google))
                    .into_iter()
                    .chain(self.of_cloud())
                {
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_bucket_name(bucket.name());
                let builder = builder.with_retry(retries);
                Arc::new(builder.with_http_connector(connector).build()?)
            }
            Cloud::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env();
                for (key, value) in known(variables(Cloud::Azure))
                    .into_iter()
                    .chain(self.of_cloud())
                {
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_url(bucket.root()).with_retry(retries);
                Arc::new(builder.with_http_connector(connector).build()?)
            }
        })
    }
}

/// Combines options, the first source that has one first. A key and its token come from one source.
fn amazon(sources: [Vec<(AmazonS3ConfigKey, String)>; 3]) -> AmazonS3Builder {
    let of_key = |source: &Vec<(AmazonS3ConfigKey, String)>| {
        let is_key = |key: &AmazonS3ConfigKey| CREDENTIALS[..2].contains(key);
        source.iter().any(|(key, _)| is_key(key))
    };
    let owner = sources.iter().position(of_key);
    let mut builder = AmazonS3Builder::new();
    for (number, mut source) in sources.into_iter().enumerate().rev() {
        source.sort_by_key(|(key, _)| *key != AmazonS3ConfigKey::DefaultRegion);
        for (key, value) in source {
            let key = match key {
                AmazonS3ConfigKey::DefaultRegion => AmazonS3ConfigKey::Region,
                key => key,
            };
            if !CREDENTIALS.contains(&key) || owner == Some(number) {
                builder = builder.with_config(key, value);
            }
        }
    }
    builder
}

/// A key of S3 and its token.
const CREDENTIALS: [AmazonS3ConfigKey; 3] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::Token,
];

/// The name of an option of connections without that of a cloud.
fn bare(name: &str) -> &str {
    let mut clouds = ["aws_", "google_", "azure_"].iter();
    let rest = clouds.find_map(|cloud| name.strip_prefix(cloud));
    let of_client = rest.filter(|rest| rest.parse::<ClientConfigKey>().is_ok());
    of_client.unwrap_or(name)
}

/// Checks what `object_store` takes for granted: it panics otherwise. Returns what is expected.
fn check_value(name: &str, value: &str) -> Result<(), &'static str> {
    // Other values become parts of headers.
    let mut documents = ["service_account", "credentials", "certificate"].iter();
    let is_document = documents.any(|document| name.contains(document));
    if !is_document && value.contains(char::is_control) {
        return Err("a value without line breaks");
    }
    let mut ends = ["endpoint", "endpoint_url", "endpoint_url_s3", "base_url"].iter();
    if !ends.any(|end| name.ends_with(end)) || name.contains("use_fabric") {
        return Ok(());
    }
    let url = Url::parse(value).ok();
    let is_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    match url.as_ref().is_some_and(is_web) {
        true => Ok(()),
        false => Err("a URL such as https://host:9000"),
    }
}

/// A name and its value, unless that may be a secret.
fn shown(name: &str, value: &str) -> String {
    let is_url = name.contains("endpoint") || name.contains("base_url");
    match is_url && !value.contains('@') {
        true => format!("{name} = {value:?}"),
        false => format!("another one in {name}"),
    }
}

/// Checks the variables, and the profile, that a cloud is asked by.
fn check_environment(cloud: Cloud) -> Result<(), Failure> {
    let of_profile = match cloud {
        Cloud::S3 => profile(),
        Cloud::Google | Cloud::Azure => Vec::new(),
    };
    let of_profile = of_profile.into_iter();
    let of_profile = of_profile.map(|(key, value)| (key.as_ref().to_owned(), value));
    for (name, value) in variables(cloud).chain(of_profile) {
        let checked = check_value(&name.to_ascii_lowercase(), &value);
        checked.map_err(|expected| Failure::Setup(format!("{name}: expected {expected}")))?;
    }
    Ok(())
}

/// The variables that a cloud is asked by.
fn variables(cloud: Cloud) -> impl Iterator<Item = (String, String)> {
    let prefix = match cloud {
        Cloud::S3 => "AWS_",
        Cloud::Google => "GOOGLE_",
        Cloud::Azure => "AZURE_",
    };
    std::env::vars_os().filter_map(move |(name, value)| {
        let name = name.into_string().ok()?;
        // As above, without the line break of a file.
        let value = value.into_string().ok()?.trim().to_owned();
        name.starts_with(prefix).then_some((name, value))
    })
}

/// Those of some options that a cloud has, by its own keys.
fn known<K: FromStr>(options: impl Iterator<Item = (String, String)>) -> Vec<(K, String)> {
    let known =
        options.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)));
    known.collect()
}

/// How long a server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Timeouts {
    /// Until it accepts a connection.
    pub(super) connect: Duration,
    /// Until it sends something.
    pub(super) stall: Duration,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_token_come_from_one_source() {
        use AmazonS3ConfigKey::{
            AccessKeyId, DefaultRegion, Endpoint, Region, SecretAccessKey, Token,
        };
        let of = |options: &[(AmazonS3ConfigKey, &str)]| {
            let options = options.iter();
            options
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect()
        };
        let given = of(&[
            (AccessKeyId, "me"),
            (SecretAccessKey, "hush"),
            (Endpoint, "http://here"),
        ]);
        let variables = of(&[(Token, "stale"), (DefaultRegion, "north")]);
        let profile = of(&[(AccessKeyId, "other"), (Token, "other"), (Region, "south")]);
        let builder = amazon([given, variables, profile]);
        let value = |key| builder.get_config_value(&key);
        assert_eq!(value(AccessKeyId).as_deref(), Some("me"));
        assert_eq!(value(Token), None);
        assert_eq!(value(Region).as_deref(), Some("north"));
        assert_eq!(value(Endpoint).as_deref(), Some("http://here"));
    }

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
}
