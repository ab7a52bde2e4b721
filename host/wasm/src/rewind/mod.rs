//! An isolate that becomes again what it was when it was new, instead of being thrown away.
//!
//! A new instance costs several times what a small policy computes. So where it surely can be done, the
//! instance of an exchange that is over is put back and serves the next one, which can't tell it from a
//! new one:
//!
//! - *Memory*: every page that was ever written is written again with what the image has there
//!   ([`Memory`]). A memory that has grown can't be put back: its isolate is thrown away.
//! - *Globals* that can change are set again by the first hook of an exchange: the core module
//!   has a second entrance for each hook, which sets them and then calls the hook (`direct/module.rs`).
//! - *Tables* and *segments*: a component with an instruction that changes them is not rewound.
//! - *Handles*: a component that knows resources is not rewound, so there are none.
//! - *The host's side*: a store's data is made as new, WASI included.
//!
//! A call that trapped or was dropped half-way leaves a store that is never used again in any case.

mod kernel;
mod memory;

pub(crate) use kernel::Kernel;
pub(crate) use memory::{Memory, Rewound, StartPages};
