//! The font of all texts in pictures. It comes with the crate: a node of a cluster may have none.

use plotters::style::{FontStyle, register_font};
use std::sync::Once;

/// Makes the font known to the drawing library, once.
pub(crate) fn register() {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // It fails only for bytes that are no font; pictures then lack their texts, nothing else.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}
