//! Changes inputs at random, in the ways that break protocol code: bytes, blocks, lines, numbers, known words.

use crate::support::Dice;

/// Bytes that mean something to HTTP, or to nobody.
const BYTES: &[u8] = b"\r\n\t \0:;,=\"\\%/?*#_.-+09afAFzx{}[]()\x0b\x0c\x7f\x80\xff";
/// Numbers at the edges of the types and limits they are read into.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "00",
    "255",
    "256",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "7fffffffffffffff",
    "8000000000000000",
    "ffffffffffffffff",
    "00000000000000000",
];
/// Most changes made to one input.
const STACK_MAX: usize = 6;

/// Makes a new input of `bytes`, with `others` to take parts from. Never longer than `longest`.
pub fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, others: &[&[u8]], words: &[&[u8]], longest: usize) {
    for _ in 0..=dice.below(STACK_MAX) {
        match dice.below(14) {
            0 => flip(dice, bytes),
            1 => set_byte(dice, bytes),
            2 => insert_byte(dice, bytes),
            3 => drop(cut(dice, bytes)),
            4 => repeat_part(dice, bytes),
            5 => move_part(dice, bytes),
            6 | 7 => insert_word(dice, bytes, words),
            8 => overwrite_word(dice, bytes, words),
            9 => change_number(dice, bytes),
            10 => splice(dice, bytes, others),
            11 => shuffle_lines(dice, bytes),
            12 => change_case(dice, bytes),
            _ => insert_run(dice, bytes),
        }
        bytes.truncate(longest);
    }
}

/// A range of `bytes`, more often short than long.
fn part(dice: &mut Dice, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = dice.below(bytes.len() + 1);
    let most = if dice.one_in(4) { bytes.len() - from } else { (bytes.len() - from).min(16) };
    from..from + dice.below(most + 1)
}

fn flip(dice: &mut Dice, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
    }
}

fn any_byte(dice: &mut Dice) -> u8 {
    if dice.one_in(3) { dice.roll() as u8 } else { BYTES[dice.below(BYTES.len())] }
}

fn set_byte(dice: &mut Dice, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let at = dice.below(bytes.len());
        bytes[at] = any_byte(dice);
    }
}

fn insert_byte(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len() + 1);
    let byte = any_byte(dice);
    bytes.insert(at, byte);
}

fn cut(dice: &mut Dice, bytes: &mut Vec<u8>) -> Vec<u8> {
    let range = part(dice, bytes);
    bytes.drain(range).collect()
}

fn insert_at_any(dice: &mut Dice, bytes: &mut Vec<u8>, what: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    bytes.splice(at..at, what.iter().copied());
}

fn repeat_part(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let range = part(dice, bytes);
    let copy = bytes[range].repeat(1 + dice.below(3));
    insert_at_any(dice, bytes, &copy);
}

fn move_part(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let moved = cut(dice, bytes);
    insert_at_any(dice, bytes, &moved);
}

fn insert_word(dice: &mut Dice, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    if !words.is_empty() {
        let word = dice.pick(words);
        insert_at_any(dice, bytes, word);
    }
}

fn overwrite_word(dice: &mut Dice, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    if !words.is_empty() {
        let word = dice.pick(words);
        let range = part(dice, bytes);
        bytes.splice(range, word.iter().copied());
    }
}

/// Replaces the digits around a place, or what stands there, by a number from an edge.
fn change_number(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let mut from = dice.below(bytes.len() + 1);
    while from > 0 && bytes[from - 1].is_ascii_hexdigit() {
        from -= 1;
    }
    let mut to = from;
    while bytes.get(to).is_some_and(u8::is_ascii_hexdigit) {
        to += 1;
    }
    let number = if dice.one_in(3) { dice.below(600).to_string() } else { dice.pick(NUMBERS).to_owned() };
    bytes.splice(from..to, number.bytes());
}

fn splice(dice: &mut Dice, bytes: &mut Vec<u8>, others: &[&[u8]]) {
    if !others.is_empty() {
        let other = dice.pick(others);
        let theirs = part(dice, other);
        let ours = part(dice, bytes);
        bytes.splice(ours, other[theirs].iter().copied());
    }
}

fn shuffle_lines(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.len() > 1 {
        let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
        if dice.one_in(2) {
            lines.swap(a, b);
        } else {
            let line = lines[a].clone();
            lines.insert(b, line);
        }
        *bytes = lines.concat();
    }
}

fn change_case(dice: &mut Dice, bytes: &mut [u8]) {
    let range = part(dice, bytes);
    for byte in &mut bytes[range] {
        if byte.is_ascii_alphabetic() {
            *byte ^= 0x20;
        }
    }
}

/// Many of one byte, to reach limits.
fn insert_run(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let byte = any_byte(dice);
    let run = vec![byte; 1 + dice.below(300)];
    insert_at_any(dice, bytes, &run);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_changes_with_the_seed_and_stays_within_its_length() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..5_000 {
            let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
            mutate(&mut Dice::new(seed), &mut bytes, &[b"other", b""], &[b"word"], 100);
            assert!(bytes.len() <= 100);
            let mut again = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
            mutate(&mut Dice::new(seed), &mut again, &[b"other", b""], &[b"word"], 100);
            assert_eq!(bytes, again);
            seen.insert(bytes);
        }
        assert!(seen.len() > 4_000, "{} different inputs", seen.len());
    }
}
