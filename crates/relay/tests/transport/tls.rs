use std::time::Duration;

use comity_net::{DialError, DialOptions, Url, dial};
use comity_relay::{ServeError, Server, ServerConfig, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{config, echo, read_to_end, start};

/// A folder with a certificate for `localhost` that signs itself, and its key.
fn certified() -> (TempDir, ServerConfig, DialOptions) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.path().join("certificate.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut options = DialOptions::default();
    options.extra_roots = Some(files.certificate.clone());
    let mut settings = config();
    settings.tls = Some(files);
    (folder, settings, options)
}

#[tokio::test]
async fn a_trusted_certificate_opens_an_encrypted_link_and_a_strange_one_does_not() {
    let (_folder, settings, trusting) = certified();
    let relay = start(settings).await;
    let url: Url = format!("wss://localhost:{}/sync", relay.address.port()).parse().unwrap();
    let mut connection = dial(&url, &trusting).await.unwrap();
    echo(&mut connection, vec![3; 1 << 20]).await;

    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("not from an authority that is trusted here"), "{error}");
    let by_address = format!("wss://{}/sync", relay.address).parse().unwrap();
    let error = dial(&by_address, &trusting).await.unwrap_err();
    assert!(matches!(error, DialError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("its certificate is for another name"), "{error}");
    let error = relay.dial().await.expect_err("there is no plain text on a TLS port");
    assert!(error.to_string().contains("begins with wss://"), "{error}");
    echo(&mut connection, "goes on").await;
}

#[tokio::test]
async fn a_client_that_never_begins_tls_is_cut_at_the_deadline() {
    let (_folder, mut settings, _) = certified();
    settings.limits.header_deadline = Duration::from_millis(100);
    let relay = start(settings).await;
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    read_to_end(&mut stream).await;
}

#[tokio::test]
async fn a_missing_or_wrong_file_is_named() {
    let (folder, settings, _) = certified();
    let files = settings.tls.clone().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let (_other, settings, _) = certified();
    let strange = settings.tls.unwrap().key;
    let none = folder.path().join("none.pem");
    for (certificate, key, reason) in [
        (none.clone(), files.key.clone(), "none.pem: No such file"),
        (empty.clone(), files.key.clone(), "empty.pem: it holds no certificate"),
        (files.certificate.clone(), empty, "empty.pem: it holds no private key"),
        (files.certificate.clone(), none, "none.pem: No such file"),
        (files.certificate, strange, "key.pem: it is not the key of"),
    ] {
        let mut wrong = config();
        wrong.tls = Some(TlsFiles { certificate, key });
        let error = Server::bind(wrong).await.err().unwrap();
        assert!(matches!(error, ServeError::TlsFile { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn tls_where_there_is_none_is_told() {
    let relay = start(config()).await;
    let url: Url = format!("wss://localhost:{}/sync", relay.address.port()).parse().unwrap();
    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("a relay without TLS has an address that begins with ws://"), "{error}");
}
