//! Places in a document as people count them: lines and columns.

/// A place in a text; lines and columns are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Reads a text from its beginning to places further and further on, so that many cost no more than the last.
#[derive(Debug, Clone)]
pub struct Places<'t> {
    rest: &'t str,
    at: usize,
    place: Place,
}

impl Place {
    /// The place of one byte; the end of a text that is shorter.
    pub fn of(text: &str, at: usize) -> Self {
        Places::new(text).advance(at)
    }
}

impl<'t> Places<'t> {
    /// At the beginning of the text.
    pub fn new(text: &'t str) -> Self {
        Self { rest: text, at: 0, place: Place { line: 1, column: 1 } }
    }

    /// Goes on to a byte; one that was passed already is where it stands.
    pub fn advance(&mut self, to: usize) -> Place {
        let (passed, rest) =
            self.rest.split_at_checked(to.saturating_sub(self.at)).unwrap_or((self.rest, ""));
        for character in passed.chars() {
            match character {
                '\n' => self.place = Place { line: self.place.line + 1, column: 1 },
                _ => self.place.column += 1,
            }
        }
        (self.at, self.rest) = (self.at.max(to), rest);
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let text = "é\n\n  ü{x";
        let brace = text.find('{').unwrap();
        for (at, line, column) in [(0, 1, 1), (2, 1, 2), (brace, 3, 4), (text.len(), 3, 6), (99, 3, 6)] {
            assert_eq!(Place::of(text, at), Place { line, column }, "{at}");
        }
        let mut places = Places::new(text);
        assert_eq!((places.advance(2), places.advance(1)), (Place::of(text, 2), Place::of(text, 2)));
        assert_eq!(places.advance(brace), Place::of(text, brace));
    }
}
