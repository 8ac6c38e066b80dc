//! TLS for dialing.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::dial::DialError;

/// Trusts the public authorities and those in `extra_roots`.
pub(crate) fn client_config(extra_roots: Option<&Path>) -> Result<Arc<ClientConfig>, DialError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = extra_roots {
        add_roots(&mut roots, path)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the ring provider supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), DialError> {
    let unusable = |detail: String| DialError::Roots { path: path.to_owned(), detail };
    let mut count = 0;
    let unreadable = |error: pem::Error| match error {
        // The operating system's own words, without the library's.
        pem::Error::Io(error) => unusable(error.to_string()),
        error => unusable(error.to_string()),
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(unusable("it holds no certificate in PEM form".into()));
    }
    Ok(())
}
