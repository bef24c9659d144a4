//! `countersign serve`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use domain::Domain;
use domain::error::{Error, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{open_folder, operator, print};
use crate::auth::{DomainReady, DomainTokens};
use crate::config::Config;
use crate::files::DomainFiles;
use crate::server::{GRAPHQL, Parts, Server, health};
use crate::sign_in::link_url;
use crate::telemetry::{self, Traces};
use crate::{demo, graphql};

#[derive(Args)]
pub struct Serve {
    /// The address to listen on; 127.0.0.1:8080 if not set.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Serves GraphiQL and answers introspection.
    #[arg(long)]
    development: bool,
    /// Makes a company with people, assets, rules and an imported report to look at, and turns
    /// development on.
    #[arg(long)]
    demo: bool,
}

impl Serve {
    pub async fn run(self, mut config: Config) -> Result<ExitCode> {
        config.listen = self.listen.unwrap_or(config.listen);
        config.development |= self.development || self.demo;
        let traces = Traces::to(config.traces.as_deref(), config.traces_share)?;
        telemetry::init(config.log_format, &config.log, &traces)?;
        let metrics = health::recorder()?;
        let (domain, _folder) = open_folder(&config).await?;
        let stopping = CancellationToken::new();
        let settings = config.edge()?;
        let server = Server::new(Parts {
            schema: graphql::served(domain.clone(), &settings),
            authenticate: Arc::new(DomainTokens(domain.clone())),
            files: Arc::new(DomainFiles(domain.clone())),
            ready: Arc::new(DomainReady(domain.clone())),
            metrics: Some(metrics.clone()),
            clock: domain.clock().clone(),
            settings,
            stopping: stopping.clone(),
        });
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| Error::invalid("listen", format!("{}: {error}", config.listen)))?;
        let address = listener.local_addr().map_err(Error::internal)?;
        let workers = tokio::spawn({
            let (domain, stopping) = (domain.clone(), stopping.clone());
            async move { domain.run_jobs(stopping).await }
        });
        tokio::spawn({
            let (domain, stopping) = (domain.clone(), stopping.clone());
            async move { domain.keep_house(stopping).await }
        });
        tokio::spawn({
            let (domain, plan, stopping) = (domain.clone(), config.fetches()?, stopping.clone());
            async move { domain.run_fetches(plan, stopping).await }
        });
        tokio::spawn(health::upkeep(metrics, stopping.clone()));
        tokio::spawn(stop_on_signal(stopping.clone()));
        tokio::spawn({
            let stopping = stopping.clone();
            async move {
                server.serve(listener).await;
                stopping.cancel()
            }
        });
        welcome(&config, address)?;
        if self.demo {
            demo::run(&domain, address).await?;
        } else {
            first_steps(&domain, address).await?;
        }
        workers.await.map_err(Error::internal)??;
        traces.end().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says where the server is.
fn welcome(config: &Config, address: SocketAddr) -> Result<()> {
    print(format_args!("Countersign {} listens on http://{address}{GRAPHQL}", env!("CARGO_PKG_VERSION")))?;
    if config.development {
        print(format_args!("GraphiQL: http://{address}/graphiql"))?;
    }
    Ok(())
}

/// Says how the first person comes in, while there is nobody.
async fn first_steps(domain: &Domain, address: SocketAddr) -> Result<()> {
    let Some(secret) = domain.setup_link(&operator::platform()).await? else { return Ok(()) };
    let link = link_url(domain, &secret);
    let base = if link.starts_with('/') { format!("http://{address}") } else { String::new() };
    print(format_args!(
        "There is no company yet. Make it, and yourself its admin, with this link: it is good once, for a day.\n  \
         curl {base}{link} -H 'Content-Type: application/json' \\\n    \
         -d '{{\"company\": \"…\", \"name\": \"…\", \"email\": \"…\", \"password\": \"…\"}}'"
    ))
}

async fn stop_on_signal(stopping: CancellationToken) {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::error!(%error, "the signal to stop cannot be listened for");
                std::future::pending().await
            }
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = interrupted => {}
        () = terminated => {}
    }
    tracing::info!("stopping");
    stopping.cancel();
}
