//! Whether a line may be one of a template, by the text of both alone: for lines read again by whom no miner
//! remembers.

use super::VarType;

/// Whether the constant text of a template occurs in a line, in its order, from the line's beginning to its end.
/// Spaces count as one; the line's secrets must be masked. What is beyond the part of a line that the
/// miner looks at is not compared, nor how that part ends then.
pub fn fits(template: &str, line: &str) -> bool {
    let whole = line.lines().next().unwrap_or_default();
    let line = super::scan::visible_part(line);
    let is_cut = line.len() < whole.len();
    let line = spaced(line);
    let mut rest = &line[..];
    let constants = constants(template);
    let last = constants.len() - 1;
    for (place, constant) in constants.into_iter().enumerate() {
        let constant = spaced(constant);
        let found = if place == last && !is_cut {
            let start = rest.len().checked_sub(constant.len());
            start.filter(|_| rest.ends_with(&*constant))
        } else {
            rest.find(&*constant)
        };
        let Some(found) = found.filter(|found| *found == 0 || place > 0) else {
            return false;
        };
        rest = &rest[found + constant.len()..];
    }
    true
}

/// The text between the variables; the first piece is empty when a template begins with one.
fn constants(template: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut piece, mut at) = (0, 0);
    while let Some(found) = template[at..].find('<') {
        at += found;
        let of = VarType::ALL.iter();
        let mut lengths = of.map(|of| of.placeholder());
        match lengths.find(|placeholder| template[at..].starts_with(placeholder)) {
            Some(placeholder) => {
                pieces.push(&template[piece..at]);
                at += placeholder.len();
                piece = at;
            }
            None => at += 1,
        }
    }
    pieces.push(&template[piece..]);
    pieces
}

/// One space where there was any.
fn spaced(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::logs::Miner;

    #[test]
    fn a_line_fits_where_the_constant_text_is_in_its_order() {
        let cases = [
            ("took <duration>", "took 12ms", true),
            ("took <duration>", "it took 12ms", false),
            ("<ip> took <duration>", "10.0.0.1   took\t12ms", true),
            ("<*> lost <number> of <number>", "disk 4 lost 3 of 9", true),
            ("<*> lost <number> of <number>", "disk of 4 lost 3", false),
            ("a <b> c", "a <b> c", true),
            ("a <b> c", "a 3 c", false),
            ("<text>", "anything at all", true),
            ("connection lost", "connection lost", true),
            (
                "connection lost",
                "connection lost to 10.0.0.1 after 3 s",
                false,
            ),
            ("<ip> is lost", "10.0.0.1 is lost", true),
            ("<ip> is lost", "10.0.0.1 is lost again", false),
            ("took <duration> ms", "took 3 ms or 4 ms", true),
            ("", "", true),
        ];
        for (template, line, expected) in cases {
            assert_eq!(fits(template, line), expected, "{template}: {line}");
        }
    }

    #[test]
    fn the_end_of_a_line_that_is_cut_is_not_compared() {
        let line = format!("lost {}", "word ".repeat(1_000));
        assert!(fits("lost word", &line));
        assert!(!fits("lost word", &line[..100]));
    }

    #[test]
    fn every_line_fits_the_template_it_was_learned_as() {
        let mut miner = Miner::default();
        let lines: Vec<String> = (0..200)
            .map(|n| match n % 4 {
                0 => format!("GET /cart/{n}?page={n} 200 {n}ms from 10.0.0.{n}"),
                1 => format!("user=\"u {n}\"  password=hunter{n}hunter logged in"),
                2 => format!("worker-{n}: retry {n}/5 of job {n:032x} failed: timeout"),
                _ => format!(
                    "2026-11-22T03:00:{:02}Z [main] state {n} -> RUNNING",
                    n % 60
                ),
            })
            .collect();
        let forms: Vec<_> = lines.iter().map(|line| miner.learn(line).form).collect();
        for (line, form) in lines.iter().zip(forms) {
            let template = miner.template(miner.resolve(form).unwrap()).unwrap();
            let masked = crate::model::mask::mask_secrets(line);
            assert!(fits(template, &masked), "{template}\n{masked}");
        }
    }
}
