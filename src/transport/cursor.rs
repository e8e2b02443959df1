//! A way through JSON text that `JSON.stringify` wrote: no white space. Whatever is not as expected ends it.

use memchr::memchr2;

pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Passes these very bytes.
    pub fn pass(&mut self, expected: &str) -> Option<()> {
        (self.take(expected.len())? == expected).then_some(())
    }

    /// Passes a byte.
    pub fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Passes so many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a str> {
        let part = self.text.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(part)
    }

    /// Passes a string, and gives what is between its quotes, escapes and all.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        self.pass("\"")?;
        let start = self.at;
        loop {
            self.at += memchr2(b'"', b'\\', self.bytes().get(self.at..)?)?;
            if self.next()? == b'"' {
                return self.bytes().get(start..self.at - 1);
            }
            // Whatever is escaped.
            self.next()?;
        }
    }

    /// Passes a key and its colon.
    pub fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.string()?;
        self.pass(":")?;
        Some(key)
    }

    /// Passes a value, up to the comma or the bracket behind it.
    pub fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes().get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return Some(()),
                _ => {}
            }
            self.at += 1;
        }
    }
}
