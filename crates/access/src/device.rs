//! The key of a device, and the id that people can compare.

use std::fmt;
use std::str::FromStr;

use comity_model::DeviceTag;
use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signer, SigningKey};

/// Says why bytes or a text are not a device key or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDevice {
    /// The text is not base32 of 32 bytes with two check digits.
    #[error("device id is mistyped: it must be 54 letters and digits in groups of six (copy it whole)")]
    Id,
    /// The check digits do not fit the rest.
    #[error("device id is mistyped: its last two characters do not fit the others")]
    Check,
    /// A key file of the wrong length.
    #[error("device key must be 32 bytes, got {actual}")]
    KeyLength {
        /// Bytes found.
        actual: usize,
    },
}

/// The secret key of a device. Its bytes belong in a file that only the owner can read.
#[derive(Clone)]
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// Makes a key of 32 random bytes.
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// Reads the bytes of a key file.
    ///
    /// # Errors
    /// When there are not 32.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, InvalidDevice> {
        let secret = bytes.try_into().map_err(|_| InvalidDevice::KeyLength { actual: bytes.len() })?;
        Ok(Self::from_random(secret))
    }

    /// Gives the bytes for the key file.
    pub fn danger_secret_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Gives the public half: the device's id.
    pub fn id(&self) -> DeviceId {
        DeviceId(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    /// Shows the id, never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.id())
    }
}

/// Names a device by its public key. Prints as base32 in groups of six with two check digits at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 32]);

impl DeviceId {
    /// Wraps a public key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Gives the part that stands in actor ids.
    pub fn tag(&self) -> DeviceTag {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.0[..16]);
        DeviceTag(tag)
    }

    /// Checks a signature made by this device.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

/// The check digits: the remainder of the text, read as a number in base 32, modulo 1021 (a prime above any digit,
/// so a changed character and two swapped neighbours are always noticed).
fn check_digits(text: &[u8]) -> [u8; 2] {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = |c: &u8| DIGITS.iter().position(|digit| digit == c).unwrap_or(0);
    let remainder = text.iter().fold(1, |sum, c| (sum * 32 + value(c)) % 1021);
    [DIGITS[remainder / 32], DIGITS[remainder % 32]]
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BASE32_NOPAD.encode(&self.0).into_bytes();
        let check = check_digits(&text);
        text.extend(check);
        for (i, group) in text.chunks(6).enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            f.write_str(std::str::from_utf8(group).expect("base32 is ASCII"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

impl FromStr for DeviceId {
    type Err = InvalidDevice;

    /// Reads the printed form; case and dashes do not matter.
    fn from_str(text: &str) -> Result<Self, InvalidDevice> {
        if text.len() > 128 {
            return Err(InvalidDevice::Id);
        }
        let bare: Vec<u8> = text.bytes().filter(|c| *c != b'-').map(|c| c.to_ascii_uppercase()).collect();
        let (body, check) = bare.split_at_checked(52).ok_or(InvalidDevice::Id)?;
        let key = BASE32_NOPAD.decode(body).map_err(|_| InvalidDevice::Id)?;
        if check_digits(body) != check {
            return Err(InvalidDevice::Check);
        }
        Ok(Self(key.try_into().map_err(|_| InvalidDevice::Id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_reads_back_in_any_case_with_or_without_dashes() {
        let id = DeviceKey::from_random([7; 32]).id();
        let text = id.to_string();
        assert_eq!(text.len(), 54 + 8);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_lowercase().replace('-', "").parse(), Ok(id));
    }

    #[test]
    fn every_changed_character_and_every_swap_of_neighbours_is_noticed() {
        let id = DeviceKey::from_random([9; 32]).id();
        let text = id.to_string().replace('-', "").into_bytes();
        for i in 0..text.len() {
            let mut changed = text.clone();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            let read = String::from_utf8(changed).unwrap().parse::<DeviceId>();
            assert!(read.is_err(), "character {i} changed");
            if i > 0 && text[i] != text[i - 1] {
                let mut swapped = text.clone();
                swapped.swap(i, i - 1);
                assert!(String::from_utf8(swapped).unwrap().parse::<DeviceId>().is_err(), "swap at {i}");
            }
        }
    }

    #[test]
    fn a_signature_counts_for_its_message_and_its_device_only() {
        let key = DeviceKey::from_random([1; 32]);
        let signature = key.sign(b"grant");
        assert!(key.id().verify(b"grant", &signature));
        assert!(!key.id().verify(b"Grant", &signature));
        assert!(!DeviceKey::from_random([2; 32]).id().verify(b"grant", &signature));
    }

    #[test]
    fn a_key_never_shows_its_secret() {
        let key = DeviceKey::from_random([0xAB; 32]);
        assert!(!format!("{key:?}").to_lowercase().contains("abab"));
        assert!(DeviceKey::from_file_bytes(&[1; 31]).is_err());
    }
}
