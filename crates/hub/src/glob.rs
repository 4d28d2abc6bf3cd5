//! Patterns of names: `*` is any run of characters, `?` any one, `\` takes the next one as it is.

/// Whether a name fits a pattern, all of it. Time is bounded by the product of both lengths, whatever the pattern.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let (fits, width) = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => (true, 1),
            Some('\\') if p + 1 < pattern.len() => (pattern[p + 1] == name[n], 2),
            Some(other) => (*other == name[n], 1),
            None => (false, 0),
        };
        if fits {
            p += width;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|one| *one == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("*", "a:b"), ("a:*", "a:"), ("a?c", "abc"), ("*b*d", "abcbd"), (r"a\*", "a*"), ("ä*", "äö")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", ""), ("a:*", "b:1"), ("a?c", "ac"), ("*b*d", "abc"), (r"a\*", "ab")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert!(!fits(&"*a".repeat(50), &"a".repeat(49)), "in time");
    }
}
