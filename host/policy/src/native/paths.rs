//! The settings of policies that are for some paths, and fill in others from them.

use limen_config::RoutePath;

use super::settings::SettingsError;

/// `match` and `regex`: which paths; all of them without either.
pub(super) fn matched(pattern: Option<&str>, regex: Option<&str>) -> Result<RoutePath, SettingsError> {
    match (pattern, regex) {
        (Some(_), Some(_)) => Err(SettingsError::new("/regex", "either `match` or `regex`")),
        (None, Some(text)) => RoutePath::regex(text).map_err(|why| SettingsError::new("/regex", why)),
        (pattern, None) => {
            let text = pattern.unwrap_or("/**");
            RoutePath::pattern(text).map_err(|why| SettingsError::new("/match", format!("{why}: `{text}`")))
        }
    }
}
