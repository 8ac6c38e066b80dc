//! What libraries say when a dial fails, in words for people.

use std::io;

use rustls::{CertificateError, Error as TlsError};
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};

/// Says why TLS failed, and what to look at.
pub(crate) fn tls(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::InvalidCertificate(reason)) => certificate(reason),
        Some(TlsError::InvalidMessage(_)) => {
            "its answer is not TLS; a relay without TLS has an address that begins with ws://".to_owned()
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it hung up in the middle; a relay without TLS has an address that begins with ws://".to_owned()
        }
        None => error.to_string(),
    }
}

fn certificate(reason: &CertificateError) -> String {
    let words = match reason {
        CertificateError::UnknownIssuer => {
            "its certificate is not from an authority that is trusted here; if it is self-made, trust it by its file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; is the clock of this device right?"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is the clock of this device right?"
        }
        CertificateError::Revoked => "its certificate was revoked",
        CertificateError::BadSignature => "its certificate has a wrong signature",
        CertificateError::BadEncoding => "its certificate cannot be read",
        // The library has no variant of its own for this most common mistake with self-made certificates.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is one of an authority and not of a server (CA:TRUE)"
        }
        other => return format!("its certificate is not accepted: {other}"),
    };
    words.to_owned()
}

/// Says why the answer to the upgrade was none.
pub(crate) fn upgrade(error: &WsError) -> String {
    match error {
        WsError::Protocol(ProtocolError::HttparseError(_)) | WsError::HttpFormat(_) => {
            "its answer is not HTTP; a relay with TLS has an address that begins with wss://".to_owned()
        }
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => "it hung up before it answered".to_owned(),
        WsError::Protocol(other) => other.to_string(),
        other => other.to_string(),
    }
}
