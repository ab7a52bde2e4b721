//! `consumer` and `consumer-edit`, as the gateway has them.

use super::current;

pub(crate) fn id() -> Option<String> {
    current(|_, exchange| exchange.consumer.as_ref().map(|consumer| consumer.id.clone()))
}

pub(crate) fn attribute(name: &str) -> Option<String> {
    current(|_, exchange| exchange.consumer.as_ref()?.attributes.get(name).cloned())
}

pub(crate) mod edit {
    use super::super::current;
    use crate::EditError;
    use crate::testing::Consumer;

    const ID: usize = 256;
    const ATTRIBUTES: usize = 32;
    const BYTES: usize = 16 * 1024;

    pub(crate) fn set(id: &str) -> Result<(), EditError> {
        current(|_, exchange| {
            exchange.edit_request()?;
            if id.is_empty() || id.chars().any(char::is_control) {
                return Err(EditError::Invalid);
            }
            if id.len() > ID {
                return Err(EditError::TooLarge);
            }
            exchange.consumer = Some(Consumer::new(id));
            Ok(())
        })
    }

    pub(crate) fn set_attribute(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| {
            exchange.edit_request()?;
            let consumer = exchange.consumer.as_mut().filter(|_| !name.is_empty());
            let consumer = consumer.ok_or(EditError::Invalid)?;
            let with = consumer.clone().attribute(name, value);
            let bytes: usize = with.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
            if with.attributes.len() > ATTRIBUTES || bytes > BYTES {
                return Err(EditError::TooLarge);
            }
            *consumer = with;
            Ok(())
        })
    }
}
