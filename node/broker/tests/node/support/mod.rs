//! What the tests share: nodes that can be stopped and started, batches made by hand, and waiting.

mod node;
mod plugins;
mod raw;
mod wait;

pub use node::{TestNode, text, texts, topic};
pub use plugins::{Attach, variant};
pub use raw::{MADE, Session, batch, garbage, keyed, stamped};
pub use wait::{PATIENCE, eventually};
