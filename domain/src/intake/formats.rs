//! The readers, one file for each format. A new one is a file here and a line in the catalogue.

pub mod asff;
pub mod burp;
pub mod cargo_audit;
pub mod csaf;
pub mod cyclonedx;
pub mod dependency_check;
pub mod github;
pub mod grype;
pub mod nessus;
pub mod npm_audit;
pub mod nuclei;
pub mod ocsf;
pub mod openvex;
pub mod osv_scanner;
pub mod qualys;
mod records;
pub mod sarif;
pub mod semgrep;
pub mod snyk;
pub mod tabular;
pub mod trivy;
pub mod zap;
