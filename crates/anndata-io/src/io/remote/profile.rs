//! The AWS profile: options in the files of Amazon's own tools.

use std::path::PathBuf;

use object_store::aws::AmazonS3ConfigKey;

use crate::io::location::home_folder;

/// The options of the AWS profile that `AWS_PROFILE` names.
pub(super) fn profile() -> Vec<(AmazonS3ConfigKey, String)> {
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
