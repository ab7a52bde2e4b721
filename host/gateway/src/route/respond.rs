//! Routes with a fixed answer.

use bytes::Bytes;
use limen_config::{ConfigError, FixedBody, Place, Respond};
use limen_policy::Fixed;

/// The answer, ready to be given.
pub fn load(respond: &Respond, place: &Place) -> Result<Fixed, ConfigError> {
    let Respond { status, body, headers } = respond;
    let (body, kind) = match body {
        FixedBody::Empty => (Bytes::new(), None),
        FixedBody::Text(text) => (Bytes::from(text.clone()), Some("text/plain; charset=utf-8")),
        FixedBody::File(file) => {
            let (body, kind) = Fixed::read(file).map_err(|why| {
                let message = format!("cannot read the answer `{}`: {why}", file.display());
                ConfigError::new(place.clone(), message)
            })?;
            (body, Some(kind))
        }
    };
    Ok(Fixed::new(*status, headers, body, kind))
}
