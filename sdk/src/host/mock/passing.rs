//! The functions of `wit/` about what is on its way: chunks, trailers, attempts.

pub(crate) mod chunks {
    use super::super::{Moment, current};
    use crate::EditError;

    pub(crate) fn emit(data: &[u8]) -> Result<(), EditError> {
        current(|process, exchange| {
            if !matches!(exchange.moment, Moment::RequestChunk | Moment::ResponseChunk) {
                return Err(EditError::TooLate);
            }
            if exchange.emitted.len() + data.len() > process.body_limit {
                return Err(EditError::TooLarge);
            }
            exchange.emitted.extend_from_slice(data);
            Ok(())
        })
    }
}

pub(crate) mod trailers {
    use super::super::{Head, current};

    pub(crate) fn get(name: &str) -> Option<String> {
        of(|trailers| trailers.text(name))
    }

    pub(crate) fn get_bytes(name: &str) -> Option<Vec<u8>> {
        of(|trailers| trailers.values(name).next().map(<[u8]>::to_vec))
    }

    pub(crate) fn values(name: &str) -> Vec<Vec<u8>> {
        of(|trailers| trailers.values(name).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn has(name: &str) -> bool {
        of(|trailers| trailers.values(name).next().is_some())
    }

    pub(crate) fn packed() -> Vec<u8> {
        of(|trailers| trailers.packed(&[]))
    }

    fn of<T>(read: impl FnOnce(&Head) -> T) -> T {
        current(
            |_, exchange| {
                if exchange.has_trailers() { read(&exchange.trailers) } else { read(&Head::default()) }
            },
        )
    }
}

pub(crate) mod trailers_edit {
    use super::super::{current, head};
    use crate::EditError;

    pub(crate) fn set(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| {
            exchange
                .edit_trailers()
                .and_then(|trailers| may_trail(name).and_then(|()| trailers.set(name, value)))
        })
    }

    pub(crate) fn add(name: &str, value: &str) -> Result<(), EditError> {
        current(|_, exchange| {
            exchange
                .edit_trailers()
                .and_then(|trailers| may_trail(name).and_then(|()| trailers.add(name, value)))
        })
    }

    pub(crate) fn remove(name: &str) -> Result<(), EditError> {
        current(|_, exchange| {
            exchange.edit_trailers().and_then(|trailers| may_trail(name).and_then(|()| trailers.remove(name)))
        })
    }

    fn may_trail(name: &str) -> Result<(), EditError> {
        match head::HEAD_ONLY.iter().any(|field| field.eq_ignore_ascii_case(name)) {
            true => Err(EditError::Forbidden),
            false => Ok(()),
        }
    }
}

pub(crate) mod attempt {
    use super::super::{Moment, current};

    pub(crate) fn number() -> u32 {
        current(|_, exchange| if exchange.moment == Moment::Upstream { exchange.attempt.0 } else { 0 })
    }

    pub(crate) fn endpoint() -> Option<String> {
        current(|_, exchange| (exchange.moment == Moment::Upstream).then(|| exchange.attempt.1.clone()))
    }
}
