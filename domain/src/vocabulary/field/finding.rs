//! The fields of a finding and of the asset that it was found on.

use crate::vocabulary::field::{Catalogue, Column, Field, Table, fields};
use crate::vocabulary::kind::Kind;
use crate::vocabulary::terms::{Criticality, Environment, FindingClass, Severity, Status, Term};

fields! {
    /// The fields of a finding.
    FindingField in FINDING = "finding";

    "Assessment" {
        Severity = "severity", "Severity", Kind::Ordinal(Severity::WORDS), present, Finding."severity",
            "How bad the finding is.";
        Status = "status", "Status", Kind::Enum(Status::WORDS), present, Finding."status",
            "Where the finding stands. OPEN and IN_PROGRESS are active.";
        Class = "class", "Class", Kind::Enum(FindingClass::WORDS), present, Finding."class",
            "What the finding is: a vulnerability, a detection or a matter of compliance.";
        CvssScore = "cvss_score", "CVSS score", Kind::Number { min: Some(0.0), max: Some(10.0) }, optional, Finding."cvss_score",
            "The CVSS base score, 0 to 10.";
        EpssScore = "epss_score", "EPSS score", Kind::Number { min: Some(0.0), max: Some(1.0) }, optional, Finding."epss_score",
            "The probability of exploitation in the next 30 days, 0 to 1.";
        EpssPercentile = "epss_percentile", "EPSS percentile", Kind::Number { min: Some(0.0), max: Some(1.0) }, optional, Finding."epss_percentile",
            "The share of all scored CVEs with the same or a lower EPSS score, 0 to 1.";
        KnownExploit = "known_exploit", "Known exploit", Kind::Bool, optional, Finding."known_exploit",
            "Whether an exploit is known.";
        KevDueAt = "kev_due_at", "KEV due date", Kind::Time, optional, Finding."kev_due_at",
            "When CISA's catalogue of known exploited vulnerabilities wants it mended: the earliest date of its CVEs.";
        RansomwareUse = "ransomware_use", "Ransomware use", Kind::Bool, optional, Finding."ransomware_use",
            "Whether ransomware is known to use it; missing where no CVE of it is known to be exploited.";
        SlaBreached = "sla_breached", "SLA breached", Kind::Bool, optional, Finding."sla_breached",
            "Whether the due date has passed unmet.";
    }
    "Description" {
        Title = "title", "Title", Kind::Text, present, Finding."title",
            "The finding's title.";
        Description = "description", "Description", Kind::Text, optional, Finding."description",
            "What the scanner says of the finding.";
        VulnerabilityType = "vulnerability_type", "Vulnerability type", Kind::Text, optional, Finding."vulnerability_type",
            "The type of the vulnerability.";
        CveIds = "cve_ids", "CVE ids", Kind::TextList, optional, Finding."cve_ids",
            "The CVE ids of the finding.";
        CweIds = "cwe_ids", "CWE ids", Kind::TextList, optional, Finding."cwe_ids",
            "The CWE ids of the finding.";
        Tags = "tags", "Tags", Kind::TextList, optional, Finding."tags",
            "The finding's tags.";
    }
    "Taxonomy" {
        Effects = "effects", "Effects", Kind::CodeList("effects"), optional, Finding."effects",
            "What the finding leads to.";
        RootCauses = "root_causes", "Root causes", Kind::CodeList("root_causes"), optional, Finding."root_causes",
            "Why the finding came to be.";
        RemediationTechniques = "remediation_techniques", "Remediation techniques", Kind::CodeList("remediation_techniques"), optional, Finding."remediation_techniques",
            "How the finding is mended.";
        AttackTechniques = "attack_techniques", "ATT&CK techniques", Kind::CodeList("attack_techniques"), optional, Finding."attack_techniques",
            "The ATT&CK techniques that the finding tells of.";
    }
    "Source" {
        ScannerSource = "scanner_source", "Scanner", Kind::Text, present, Finding."scanner_source",
            "The scanner that reported the finding.";
        ScannerCategory = "scanner_category", "Scanner category", Kind::Text, optional, Finding."scanner_category",
            "The scanner's own category of the check.";
        ScannerReference = "scanner_reference", "Scanner reference", Kind::Text, optional, Finding."scanner_reference",
            "The scanner's own id of the check: a rule, a plugin, a vulnerability.";
    }
    "Asset" {
        AssetName = "asset_name", "Asset name", Kind::Text, present, Asset."name",
            "The name of the asset.";
        AssetType = "asset_type", "Asset type", Kind::Text, optional, Asset."type",
            "What the asset is: a host, an image, a repository.";
        AssetClass = "asset_class", "Asset class", Kind::Text, optional, Asset."class",
            "The class of the asset.";
        AssetGroups = "asset_groups", "Asset groups", Kind::TextList, optional, Asset."asset_groups",
            "The groups that the asset belongs to.";
        AssetCriticality = "asset_criticality", "Asset criticality", Kind::Ordinal(Criticality::WORDS), optional, Asset."criticality",
            "How much the asset matters.";
        AssetEnvironment = "asset_environment", "Asset environment", Kind::Enum(Environment::WORDS), optional, Asset."environment",
            "What the asset is used for.";
        AssetTags = "asset_tags", "Asset tags", Kind::TextList, optional, Asset."tags",
            "The asset's tags.";
        InternetExposed = "internet_exposed", "Internet exposed", Kind::Bool, optional, Asset."internet_exposed",
            "Whether the asset can be reached from the internet.";
    }
    "Place" {
        Endpoint = "endpoint", "Endpoint", Kind::Text, optional, Finding."endpoint",
            "The URL or address that the finding was found at.";
        Port = "port", "Port", Kind::Number { min: Some(0.0), max: Some(65_535.0) }, optional, Finding."port",
            "The network port, 0 to 65535.";
        FilePath = "file_path", "File path", Kind::Text, optional, Finding."file_path",
            "The file that the finding was found in.";
        ComponentName = "component_name", "Component", Kind::Text, optional, Finding."component_name",
            "The package or library at fault.";
        ComponentVersion = "component_version", "Component version", Kind::Text, optional, Finding."component_version",
            "The version of the component at fault.";
        ComponentPurl = "component_purl", "Package URL", Kind::Text, optional, Finding."component_purl",
            "The package URL of the component at fault: `pkg:npm/lodash@4.17.20`.";
        FixAvailable = "fix_available", "Fix available", Kind::Bool, optional, Finding."fix_available",
            "Whether a version without the fault exists.";
    }
    "Ownership" {
        Project = "project", "Project", Kind::Reference("project"), present, Finding."project_id",
            "The project that the finding belongs to.";
        Company = "company", "Company", Kind::Reference("company"), present, Finding."company_id",
            "The company that the finding belongs to.";
        AssignedUsers = "assigned_users", "Assigned users", Kind::ReferenceList("user"), optional, Finding."assigned_users",
            "The people who are to act on the finding.";
        AssignedTeams = "assigned_teams", "Assigned teams", Kind::ReferenceList("team"), optional, Finding."assigned_teams",
            "The teams that are to act on the finding.";
    }
    "Time" {
        FirstSeenAt = "first_seen_at", "First seen", Kind::Time, present, Finding."first_seen_at",
            "When the finding was first seen.";
        LastSeenAt = "last_seen_at", "Last seen", Kind::Time, present, Finding."last_seen_at",
            "When the finding was last seen.";
        DueAt = "due_at", "Due", Kind::Time, optional, Finding."due_at",
            "When the finding has to be dealt with.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_field_is_found_by_key_and_index() {
        assert_eq!(FindingField::ALL.len(), FINDING.fields.len());
        for (index, field) in FindingField::ALL.iter().enumerate() {
            assert_eq!(field.index(), index);
            assert_eq!(FindingField::from_key(field.key()), Some(*field));
            assert_eq!(FINDING.position(field.key()), Some(index));
        }
        assert_eq!(FindingField::from_key("severity "), None);
        assert_eq!(FindingField::CveIds.field().label, "CVE ids");
    }

    #[test]
    fn the_keys_and_columns_are_unique_and_the_lists_small() {
        let keys: HashSet<_> = FINDING.fields.iter().map(|field| field.key).collect();
        let columns: HashSet<_> =
            FINDING.fields.iter().map(|field| (field.column.table.alias(), field.column.name)).collect();
        assert_eq!(keys.len(), FINDING.fields.len());
        assert_eq!(columns.len(), FINDING.fields.len());
        for field in FINDING.fields {
            assert!(field.kind.words().len() <= 64, "{}: a set of words is kept as 64 bits", field.key);
        }
    }
}
