//! Columns as C's printf makes them: a width, to which a text is padded and, mostly, cut.

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Characters; 0: as many as it takes.
    pub width: usize,
    /// To the right.
    pub right: bool,
}

/// To the left.
pub const fn left(width: usize) -> Column {
    Column { width, right: false }
}

/// To the right.
pub const fn right(width: usize) -> Column {
    Column { width, right: true }
}

impl Column {
    /// A text in the column, cut to it.
    pub fn cell(self, text: &str) -> String {
        let Column { width, right } = self;
        match (width, right) {
            (0, _) => text.to_owned(),
            (_, true) => format!("{text:>width$.width$}"),
            (_, false) => format!("{text:<width$.width$}"),
        }
    }

    /// A text in the column, which may be longer: what is left-aligned is cut all the same.
    pub fn whole(self, text: &str) -> String {
        let width = self.width;
        if self.right && width > 0 { format!("{text:>width$}") } else { self.cell(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_padded_and_cut_to_their_column() {
        assert_eq!(right(5).cell("main"), " main");
        assert_eq!(right(3).cell("partition"), "par");
        assert_eq!(left(6).cell("idle") + "|", "idle  |");
        assert_eq!(left(3).cell("idle"), "idl");
        assert_eq!(left(0).cell("n[1-2]"), "n[1-2]");
        assert_eq!(right(3).whole("12:00"), "12:00");
    }
}
