//! Feeds that come packed: unpacked beside themselves, within the size that a file may have.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Code, Error, Result};
use crate::intake::limits::Limits;

const GZIP: &[u8] = b"\x1f\x8b";
const BLOCK: usize = 64 << 10;
/// How much larger than itself a packed file may become: more is a bomb. Feeds are at about 10.
const RATIO: u64 = 200;

/// Puts the plain bytes of the file at `path` into its place.
///
/// # Errors
/// `REPORT_MALFORMED` for a damaged file, `REPORT_TOO_LARGE` for one that is too large unpacked.
pub fn unpack(path: &Path, limits: &Limits) -> Result<()> {
    let file = File::open(path).map_err(Error::internal)?;
    let mut head = Vec::new();
    (&file).take(GZIP.len() as u64).read_to_end(&mut head).map_err(Error::internal)?;
    if head != GZIP {
        return Ok(());
    }
    let packed = file.metadata().map_err(Error::internal)?.len();
    let most = limits.bytes.min(packed.saturating_mul(RATIO));
    let plain = path.with_extension("part");
    let unpacked = inflate(path, &plain, most);
    if unpacked.is_ok() {
        std::fs::rename(&plain, path).map_err(Error::internal)?;
    } else {
        std::fs::remove_file(&plain).map_err(Error::internal)?;
    }
    unpacked
}

fn inflate(path: &Path, plain: &Path, most: u64) -> Result<()> {
    let mut packed = MultiGzDecoder::new(BufReader::new(File::open(path).map_err(Error::internal)?));
    let mut plain = BufWriter::new(File::create(plain).map_err(Error::internal)?);
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    loop {
        let read = packed.read(&mut block).map_err(|error| {
            Error::new(Code::ReportMalformed, format!("The gzip file is damaged: {error}."))
        })?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > most {
            let message = format!("The file has more than {most} bytes unpacked.");
            return Err(Error::new(Code::ReportTooLarge, message).with("limit", "bytes").with("value", most));
        }
        plain.write_all(&block[..read]).map_err(Error::internal)?;
    }
    let plain = plain.into_inner().map_err(|error| Error::internal(error.into_error()))?;
    plain.sync_all().map_err(Error::internal)
}
