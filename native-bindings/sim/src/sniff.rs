//! What the proxy writes where TLS is spoken, read by the virtual kernel as it is written: records and nothing else, and to
//! targets, whose sessions tell their secrets, the plain bytes too. So whoever judges what is sent judges it here as well,
//! even if the network loses it afterwards.

use crate::net::Net;
use crate::sessions::with_secrets;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA384, KeyType, Prk};
use aws_lc_rs::hmac;
use std::collections::VecDeque;

const HEADER_BYTES: usize = 5;
/// RFC 5246 6.2.3; RFC 8446 allows less.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Of a nonce of TLS 1.2, the part that is a secret; the rest is in the record.
const SALT_BYTES: usize = 4;

/// The proxy's half of one connection.
#[derive(Default)]
pub struct Sniffer {
    /// A target's: its session tells the secrets.
    opens: bool,
    /// The target said what its session did not mean: the two may agree on nothing from here on.
    pub doubted: bool,
    /// Bytes that the kernel was shown, and took.
    shown: u64,
    taken: u64,
    /// The record that is not whole yet.
    partial: Vec<u8>,
    client_random: Vec<u8>,
    pub server_random: Vec<u8>,
    keys: Option<Keys>,
    /// Records since the change of ciphers: in TLS 1.2 those are sealed.
    since_change: u64,
    /// Part of a message of the handshake.
    message: Vec<u8>,
    /// What was opened and not taken by the kernel yet, by where its record begins.
    waiting: VecDeque<(u64, Vec<u8>)>,
}

impl Net {
    /// This peer said what its session did not mean.
    pub fn spoil(&mut self, peer: u32) {
        let own = self.ends[peer as usize].peer;
        if let Some(sniffer) = &mut self.ends[own as usize].sniffer {
            sniffer.doubted = true;
        }
    }

    /// What the proxy writes to this peer must be TLS.
    pub fn seal(&mut self, peer: u32) {
        let own = self.ends[peer as usize].peer;
        self.ends[own as usize].sniffer = Some(Box::new(Sniffer::of_client()));
    }

    /// A target's first words in TLS, which say part of what opens the proxy's.
    pub fn tell_random(&mut self, from: u32, random: &[u8]) {
        let peer = self.ends[from as usize].peer;
        if let Some(sniffer) = &mut self.ends[peer as usize].sniffer {
            sniffer.server_random = random.to_vec();
        }
    }

    /// Whether the proxy opened the connection of this peer for a check.
    #[must_use]
    pub fn is_check(&self, peer: u32) -> bool {
        self.ends[self.ends[peer as usize].peer as usize].check
    }
}

/// What opens the next record.
struct Keys {
    key: LessSafeKey,
    iv: Vec<u8>,
    serial: u64,
    /// TLS 1.3.
    secret: Vec<u8>,
    application: bool,
}

impl Sniffer {
    #[must_use]
    pub fn of_client() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn of_target() -> Self {
        Self { opens: true, ..Self::default() }
    }

    /// The proxy shows the kernel these bytes, of which it may have seen the first before. Returns the application's bytes
    /// in what is new, a piece for every record.
    pub fn show(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let known = (self.shown - self.taken) as usize;
        let fresh = bytes.get(known..).unwrap_or(&[]);
        self.shown += fresh.len() as u64;
        self.partial.extend_from_slice(fresh);
        let mut opened = Vec::new();
        while let Some(len) = self.record_len()? {
            let begin = self.shown - self.partial.len() as u64;
            let record: Vec<u8> = self.partial.drain(..len).collect();
            let plain = match self.open(&record) {
                Err(_) if self.doubted => {
                    self.opens = false;
                    None
                }
                plain => plain?,
            };
            if let Some(plain) = plain {
                self.waiting.push_back((begin, plain.clone()));
                opened.push(plain);
            }
        }
        Ok(opened)
    }

    /// The kernel took so many bytes. Returns what is on its way by that, in part at least.
    pub fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        self.taken += count as u64;
        let mut gone = Vec::new();
        while self.waiting.front().is_some_and(|(begin, _)| *begin < self.taken) {
            gone.extend(self.waiting.pop_front().map(|(_, plain)| plain));
        }
        gone
    }

    /// The length of the record at the front, when it is whole.
    fn record_len(&self) -> Result<Option<usize>, String> {
        let bytes = &self.partial;
        let shape = bytes.iter().zip([20..=23, 3..=3, 1..=4]).all(|(byte, wanted)| wanted.contains(byte));
        if !shape {
            return Err(format!("what is no TLS was written: {}", bytes[..bytes.len().min(40)].escape_ascii()));
        }
        if bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        let len = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        if len > RECORD_BYTES_MAX {
            return Err(format!("a record of {len} bytes was written"));
        }
        Ok((bytes.len() >= HEADER_BYTES + len).then_some(HEADER_BYTES + len))
    }

    /// The application's bytes in a record.
    fn open(&mut self, record: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (kind, body) = (record[0], &record[HEADER_BYTES..]);
        if !self.opens {
            return Ok(None);
        }
        if self.client_random.is_empty() {
            self.client_random = body.get(6..38).ok_or("the first record is no hello")?.to_vec();
        }
        if self.keys.is_none() && kind != APPLICATION {
            // In TLS 1.3 its change of ciphers means nothing.
            self.since_change = if kind == CHANGE_CIPHER_SPEC { 0 } else { self.since_change + 1 };
            return Ok(None);
        }
        if self.keys.is_none() {
            self.keys = Some(self.agreed_keys()?);
        }
        let Some(keys) = &mut self.keys else { return Ok(None) };
        if keys.secret.is_empty() {
            let plain = keys.open_12(kind, body)?;
            return Ok((kind == APPLICATION).then_some(plain));
        }
        if kind == CHANGE_CIPHER_SPEC {
            return Ok(None);
        }
        let mut plain = keys.open_13(record)?;
        while plain.last() == Some(&0) {
            plain.pop();
        }
        match plain.pop() {
            Some(APPLICATION) if keys.application => Ok(Some(plain)),
            Some(APPLICATION) => Err("the application's bytes were written before the handshake's end".to_owned()),
            Some(HANDSHAKE) => {
                self.message.extend_from_slice(&plain);
                self.messages().map(|()| None)
            }
            _ => Ok(None),
        }
    }

    /// Messages of the handshake change the keys.
    fn messages(&mut self) -> Result<(), String> {
        while self.message.len() >= 4 {
            let len = 4 + u32::from_be_bytes([0, self.message[1], self.message[2], self.message[3]]) as usize;
            if self.message.len() < len {
                return Ok(());
            }
            let kind = self.message[0];
            self.message.drain(..len);
            let Some(keys) = &mut self.keys else { return Ok(()) };
            match kind {
                FINISHED => {
                    let traffic = with_secrets(&self.client_random, |known| known.map(|known| known.traffic.clone()));
                    let traffic = traffic.ok_or("a handshake ended that no target knows of")?;
                    *keys = Keys::of_13(traffic, true);
                }
                KEY_UPDATE => *keys = Keys::of_13(expand(&keys.secret, b"traffic upd", 48), true),
                _ => {}
            }
        }
        Ok(())
    }

    fn agreed_keys(&self) -> Result<Keys, String> {
        with_secrets(&self.client_random, |known| match known {
            Some(known) if !known.handshake.is_empty() => Ok(Keys::of_13(known.handshake.clone(), false)),
            Some(known) if !known.master.is_empty() => Ok(self.keys_of_12(&known.master)),
            _ => Err("a record was sealed before any keys were agreed on".to_owned()),
        })
    }

    /// RFC 5246 6.3.
    fn keys_of_12(&self, master: &[u8]) -> Keys {
        let seed = [b"key expansion", self.server_random.as_slice(), &self.client_random].concat();
        let block = p_hash(master, &seed, 2 * KEY_BYTES + SALT_BYTES);
        let iv = block[2 * KEY_BYTES..].to_vec();
        let (key, serial) = (cipher(&block[..KEY_BYTES]), self.since_change);
        Keys { key, iv, serial, secret: Vec::new(), application: true }
    }
}

impl Keys {
    fn of_13(secret: Vec<u8>, application: bool) -> Self {
        let (key, iv) = (cipher(&expand(&secret, b"key", KEY_BYTES)), expand(&secret, b"iv", NONCE_LEN));
        Self { key, iv, serial: 0, secret, application }
    }

    fn next_serial(&mut self) -> [u8; 8] {
        self.serial += 1;
        (self.serial - 1).to_be_bytes()
    }

    /// RFC 8446 5.2, 5.3.
    fn open_13(&mut self, record: &[u8]) -> Result<Vec<u8>, String> {
        let serial = self.next_serial();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.iv);
        nonce[NONCE_LEN - serial.len()..].iter_mut().zip(serial).for_each(|(byte, of_serial)| *byte ^= of_serial);
        let (header, body) = record.split_at(HEADER_BYTES);
        self.open(nonce, header, body)
    }

    /// RFC 5246 6.2.3.3, RFC 5288 3.
    fn open_12(&mut self, kind: u8, body: &[u8]) -> Result<Vec<u8>, String> {
        let serial = self.next_serial();
        let mut nonce = [0; NONCE_LEN];
        let explicit = NONCE_LEN - SALT_BYTES;
        nonce[..SALT_BYTES].copy_from_slice(&self.iv);
        nonce[SALT_BYTES..].copy_from_slice(body.get(..explicit).ok_or("a record without its nonce")?);
        let len = body.len().saturating_sub(explicit + TAG_BYTES) as u16;
        let header = [&serial[..], &[kind, 3, 3], &len.to_be_bytes()].concat();
        self.open(nonce, &header, &body[explicit..])
    }

    fn open(&self, nonce: [u8; NONCE_LEN], header: &[u8], body: &[u8]) -> Result<Vec<u8>, String> {
        let (mut body, nonce) = (body.to_vec(), Nonce::assume_unique_for_key(nonce));
        let opened = self.key.open_in_place(nonce, Aad::from(header), &mut body).map(|plain| plain.len());
        let len = opened.map_err(|_| "a record was sealed with keys that nobody agreed on".to_owned())?;
        body.truncate(len);
        Ok(body)
    }
}

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of its length"))
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 8446 7.1: HKDF-Expand-Label without a context.
fn expand(secret: &[u8], label: &[u8], len: usize) -> Vec<u8> {
    let size = (len as u16).to_be_bytes();
    let name = [b"tls13 ", label].concat();
    let info = [&size[..], &[name.len() as u8], &name, &[0]];
    let mut out = vec![0; len];
    let prk = Prk::new_less_safe(HKDF_SHA384, secret);
    let filled = prk.expand(&info, Len(len)).and_then(|okm| okm.fill(&mut out));
    filled.expect("a short output");
    out
}

/// RFC 5246 5.
fn p_hash(secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA384, secret);
    let mut out = Vec::new();
    let mut a = hmac::sign(&key, seed);
    while out.len() < len {
        out.extend_from_slice(hmac::sign(&key, &[a.as_ref(), seed].concat()).as_ref());
        a = hmac::sign(&key, a.as_ref());
    }
    out.truncate(len);
    out
}
