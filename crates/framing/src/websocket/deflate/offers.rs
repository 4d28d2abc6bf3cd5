//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1): names, parameters, quoted values.

use std::borrow::Cow;

use crate::http::is_token;

/// One extension that a client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    /// The extension's name.
    pub(super) name: &'a str,
    /// Its parameters, in their order.
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// A parameter of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its value, without quotes, if it has one.
    pub(super) value: Option<Cow<'a, str>>,
}

/// Reads one value of the header; `None` when it is not what the grammar says. Empty entries of
/// the list are passed over, as in every list of HTTP.
pub(super) fn read(value: &str) -> Option<Vec<Offer<'_>>> {
    let mut cursor = Cursor(value);
    let mut offers = Vec::new();
    loop {
        while cursor.take(',') {}
        if cursor.is_at_end() {
            return Some(offers);
        }
        offers.push(cursor.offer()?);
        if !cursor.is_at_end() && !cursor.take(',') {
            return None;
        }
    }
}

/// What is left of the header.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn offer(&mut self) -> Option<Offer<'a>> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(';') {
            let name = self.token()?;
            let value = if self.take('=') { Some(self.value()?) } else { None };
            parameters.push(Parameter { name, value });
        }
        Some(Offer { name, parameters })
    }

    /// A value, quoted or not; either way it has to be a token.
    fn value(&mut self) -> Option<Cow<'a, str>> {
        if !self.take('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut rest = self.0.chars();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => value.push(rest.next()?),
                other => value.push(other),
            }
        }
        self.0 = rest.as_str();
        is_token(&value).then_some(Cow::Owned(value))
    }

    /// The token that comes next.
    fn token(&mut self) -> Option<&'a str> {
        self.skip_space();
        let is_end = |letter: char| matches!(letter, ' ' | '\t' | ',' | ';' | '=' | '"');
        let end = self.0.find(is_end).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        is_token(token).then_some(token)
    }

    /// Takes a mark if it comes next.
    fn take(&mut self, mark: char) -> bool {
        self.skip_space();
        match self.0.strip_prefix(mark) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}
