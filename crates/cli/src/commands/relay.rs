//! `relay`: a relay in this process.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use comity_relay::{RelayConfig, ServeError, StartError, TlsFiles};
use serde_json::json;

use crate::config::{Config, LogFormat};
use crate::error::{CommandError, CommandResult, Kind};
use crate::heap;
use crate::limits;
use crate::losses;
use crate::session::{Session, interrupt};

/// Run a relay: where devices meet
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity relay
  comity relay --listen 0.0.0.0:8470 --data /var/lib/comity --log json
  comity relay --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  comity relay --limit connections_max=500 --limit message_bytes_max=16MiB
  comity relay --print-config > relay.toml      every limit with its value; then --config relay.toml

WebSocket at / and /sync, for Comity and for automerge-repo clients; GET /health for monitors.
A relay has no special power: it keeps a copy and passes changes on. Ctrl-C tells the clients when
to come back, waits for them, and closes the store. Without TLS, put it behind a proxy that has it,
or listen on a private address only. A self-made certificate must not be one of an authority:
  openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
and devices then trust it: comity sync wss://localhost:8470 --trust cert.pem")]
pub struct Relay {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, env = "COMITY_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,
    /// Set a limit; may be given several times
    #[arg(
        long = "limit",
        value_name = "NAME=VALUE",
        env = "COMITY_LIMITS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    limits: Vec<String>,
    /// A web page that may connect, as in https://app.example, or * for any; may be given several times
    #[arg(
        long = "origin",
        value_name = "ORIGIN",
        env = "COMITY_ORIGINS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    origins: Vec<String>,
    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "COMITY_TLS_CERT", hide_env_values = true)]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "COMITY_TLS_KEY", hide_env_values = true)]
    tls_key: Option<PathBuf>,
    /// How logs look [default: human]
    #[arg(long, value_enum, env = "COMITY_LOG_FORMAT", hide_env_values = true)]
    log: Option<LogFormat>,
}

impl Relay {
    /// Puts the flags into force.
    pub fn configure(&self, config: &mut Config) -> CommandResult {
        for flag in &self.limits {
            limits::set_from_flag(&mut config.limits, flag).map_err(|reason| {
                CommandError::new(Kind::Usage, reason).hint("`comity relay --print-config` lists all limits")
            })?;
        }
        let relay = &mut config.relay;
        relay.listen = self.listen.unwrap_or(relay.listen);
        relay.log = self.log.unwrap_or(relay.log);
        if !self.origins.is_empty() {
            relay.origins.clone_from(&self.origins);
        }
        if self.tls_cert.is_some() {
            relay.tls_cert.clone_from(&self.tls_cert);
            relay.tls_key.clone_from(&self.tls_key);
        }
        if relay.tls_cert.is_some() != relay.tls_key.is_some() {
            return Err(CommandError::new(Kind::Usage, "tls_cert and tls_key go together")
                .hint("give both, in the config file or as --tls-cert and --tls-key"));
        }
        config.check()
    }

    pub fn run(self, session: &Session) -> CommandResult {
        let mut relay = RelayConfig::new(session.config.relay.listen, &session.config.data);
        let settings = &session.config.relay;
        relay.server.limits = session.config.limits.clone();
        relay.server.origins.clone_from(&settings.origins);
        relay.server.drain_deadline = settings.drain_deadline;
        relay.server.retry_spread = settings.retry_spread;
        if let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
            relay.server.tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
        }
        relay.node.schemas.clone_from(&session.config.kinds);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            CommandError::new(Kind::NotDone, format_args!("cannot start: {error}"))
                .hint("the system may be out of threads or files: check `ulimit -a`")
        })?;
        heap::give_back_now_and_then();
        runtime.block_on(async {
            let relay = comity_relay::Relay::start(relay).await.map_err(start_error)?;
            let address = relay.local_addr();
            let scheme = if settings.tls_cert.is_some() { "wss" } else { "ws" };
            let url = format!("{scheme}://{address}");
            // The log tells it too, unless nobody wants a log.
            if relay.report().is_damaged() && session.output.quiet {
                losses::say(session.output, relay.node(), relay.report()).await;
            }
            if session.output.json {
                let content = json!({ "listen": address.to_string(), "url": url, "folder": session.config.data });
                session.output.json_line("relay", content)?;
            } else {
                session.output.line(format_args!("relay at {url}"))?;
                // Whoever reads a JSON log wants nothing else among it.
                if settings.log == LogFormat::Human {
                    session.output.note(format_args!("data in {}; Ctrl-C stops it", session.config.data.display()));
                }
            }
            interrupt().await;
            tracing::debug!("asked to stop");
            relay.shutdown().await?;
            Ok(())
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address in numbers and a port, as in 127.0.0.1:8470 or [::]:8470".to_owned())
}

fn start_error(error: StartError) -> CommandError {
    match error {
        StartError::Open(error) => error.into(),
        StartError::Serve(error) => {
            let (kind, hint) = match &error {
                ServeError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
                    (Kind::Usage, "`ip address` lists the addresses; 0.0.0.0 and [::] mean all of them")
                }
                ServeError::Listen { .. } => {
                    (Kind::NotDone, "choose another address with --listen; port 0 takes a free one")
                }
                ServeError::TlsFile { .. } => {
                    (Kind::Missing, "both files are PEM: the certificate chain, its own first, and its private key")
                }
                _ => (Kind::Usage, "correct --origin, or `origins` in the config file"),
            };
            CommandError::new(kind, error).hint(hint)
        }
        error => CommandError::new(Kind::NotDone, error),
    }
}
