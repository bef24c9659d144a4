//! Files in and out of the domain: reports are spooled to disk as they come, exports are written
//! while they are read.

use std::io;

use bytes::Bytes;
use domain::Domain;
use domain::access::Actor;
use domain::error::{Code, Error, Result};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::server::upload::{Download, Files, Upload};

/// The path that takes the report of an import.
pub fn upload_path(import: Uuid) -> String {
    format!("/v1/imports/{import}/upload")
}

/// The path that gives the file of an export.
pub fn export_path(export: Uuid) -> String {
    format!("/v1/exports/{export}")
}

/// The domain's files.
pub struct DomainFiles(pub Domain);

impl Files for DomainFiles {
    fn receive(&self, actor: Actor, id: Uuid, upload: Upload) -> BoxFuture<'_, Result<Value>> {
        async move {
            // Dropped before its end, with the request or by an error, the partial file goes too.
            let mut incoming = self.0.import_upload(&actor, id).await?;
            let mut body = upload.body;
            let mut bytes = 0_u64;
            while let Some(part) = body.next().await {
                let part = part.map_err(broken_off)?;
                incoming.write(&part).await?;
                bytes += part.len() as u64;
            }
            if bytes == 0 {
                return Err(Error::new(Code::ReportMalformed, "The report is empty."));
            }
            let job = incoming.finish().await?;
            Ok(json!({ "import": job.id, "state": job.state, "bytes": bytes }))
        }
        .boxed()
    }

    fn send(&self, actor: Actor, id: Uuid) -> BoxFuture<'_, Result<Download>> {
        async move {
            let file = self.0.export_file(&actor, id).await?;
            let body = file.bytes.map(move |part| {
                part.map(Bytes::from).map_err(|error| {
                    tracing::error!(%id, %error, "an export broke off");
                    io::Error::other("the export broke off")
                })
            });
            Ok(Download {
                content_type: file.media_type.to_owned(),
                file_name: file.name,
                length: None,
                body: body.boxed(),
            })
        }
        .boxed()
    }
}

/// A caller that goes away in the middle of an upload, or pauses for too long, did not finish it:
/// that is no fault of the server.
fn broken_off(error: io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::TimedOut => "The upload paused for too long.",
        _ => "The upload broke off.",
    };
    Error::new(Code::Invalid, message)
}
