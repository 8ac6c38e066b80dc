//! TLS for the listener.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig as RustlsConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{ServeError, TlsFiles};

pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(&files.key, "it holds no private key in PEM form"),
        error => unreadable(&files.key, error),
    })?;
    let mut config = RustlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the ring provider supports the default protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                unusable(&files.key, format!("it is not the key of {}", files.certificate.display()))
            }
            error => unusable(&files.certificate, error),
        })?;
    // A browser must not be led to HTTP/2, where a WebSocket is opened in another way.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(path, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(path, error))?;
    if chain.is_empty() {
        return Err(unusable(path, "it holds no certificate in PEM form"));
    }
    Ok(chain)
}

fn unreadable(path: &Path, error: pem::Error) -> ServeError {
    match error {
        // The operating system's own words, without the library's.
        pem::Error::Io(error) => unusable(path, error),
        error => unusable(path, error),
    }
}

fn unusable(path: &Path, detail: impl ToString) -> ServeError {
    ServeError::TlsFile { path: path.to_owned(), detail: detail.to_string() }
}
