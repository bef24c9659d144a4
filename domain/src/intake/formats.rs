//! The readers, one file for each format. A new one is a file here and a line in the catalogue.

pub mod cargo_audit;
pub mod csaf;
pub mod cyclonedx;
pub mod dependency_check;
pub mod grype;
pub mod nessus;
pub mod npm_audit;
pub mod openvex;
pub mod osv_scanner;
pub mod sarif;
pub mod snyk;
pub mod tabular;
pub mod trivy;
