//! Findings and rules as a company has them: a few assets, components and scanners make up most of
//! what is found, and most rules speak of something in particular.

use domain::finding::facts::{Evidence, Finding};
use domain::finding::layers::{Layers, Scalar, ScalarField, SetField, Statement};
use domain::finding::shown::Shown;
use domain::inventory::asset::Asset;
use domain::rule::action::{
    AcceptedRisk, Action, AppendTag, Assign, NormalizeTitle, OverrideSeverity, SetRemediation, SetVulnType,
};
use domain::vocabulary::terms::{Criticality, Environment, FindingClass, Severity, Term};
use domain::vocabulary::time::{Span, Timestamp};
use serde_json::{Value as Json, json};
use uuid::Uuid;

pub const NOW: Timestamp = Timestamp(1_795_248_000_000_000);

const ASSETS: usize = 600;
const COMPONENTS: usize = 1_200;
const WEAKNESSES: usize = 3_000;
const PROJECTS: usize = 30;

const SCANNERS: &[&str] = &["trivy", "nessus", "semgrep", "zap", "prowler"];
const CATEGORIES: &[&str] = &["os-pkgs", "library", "sast", "dast", "cloud", "secret"];
const TYPES: &[&str] = &[
    "memory",
    "injection",
    "xss",
    "csrf",
    "deserialization",
    "traversal",
    "crypto",
    "auth",
    "config",
    "dos",
];
const FLAWS: &[&str] = &[
    "Buffer overflow in",
    "SQL injection in",
    "Use after free in",
    "Path traversal in",
    "Improper input validation in",
    "Denial of service in",
    "Remote code execution in",
    "Information disclosure in",
    "Cross-site scripting in",
    "Out-of-bounds read in",
    "Privilege escalation in",
    "Insecure deserialization in",
    "Weak cipher offered by",
];
const STEMS: &[&str] = &[
    "openssl", "libxml", "curl", "log4j", "spring", "jackson", "zlib", "glibc", "nginx", "python", "react",
    "lodash", "express", "kernel", "bash", "sudo", "tomcat", "netty", "guava", "struts",
];
const ROLES: &[&str] = &["web", "db", "app", "cache", "queue", "proxy", "build", "mail"];
const TAGS: usize = 60;

/// A generator whose numbers are the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// Small numbers far more often than large ones: the first of a thousand every tenth time.
    fn skewed(&mut self, most: usize) -> usize {
        (self.share().powi(3) * most as f64) as usize
    }

    fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn component(n: usize) -> String {
    let stem = STEMS[n % STEMS.len()];
    if n < STEMS.len() { stem.to_owned() } else { format!("{stem}-{}", n / STEMS.len()) }
}

fn cve(n: usize) -> String {
    format!("CVE-20{:02}-{:05}", 14 + n % 13, 1_000 + n * 7)
}

fn asset_name(n: usize) -> String {
    format!("{}-{:03}.{}.example", ROLES[n % ROLES.len()], n, if n.is_multiple_of(3) { "eu" } else { "us" })
}

fn project(n: usize) -> Uuid {
    Uuid::from_u128(0x0190_a5a0_0000_7000_8000_0000_0001_0000 + n as u128)
}

fn tag(n: usize) -> String {
    const NAMES: &[&str] = &["pci", "legacy", "internet", "crown-jewel", "sox", "gdpr"];
    NAMES.get(n).map_or_else(|| format!("team-{n}"), |name| (*name).to_owned())
}

fn file(n: usize) -> String {
    let folders = ["usr/lib", "opt/app", "src/main/java", "node_modules", "src/api"];
    format!("{}/{}/module{}.so", folders[n % folders.len()], component(n % COMPONENTS), n % 9)
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}

pub fn assets() -> Vec<Asset> {
    let mut dice = Dice::new(1);
    let environments = [Environment::ALL[0], Environment::ALL[0], Environment::ALL[1], Environment::ALL[2]];
    (0..ASSETS)
        .map(|n| Asset {
            id: Uuid::from_u128(0xA000_0000 + n as u128),
            company: Uuid::from_u128(0xC1),
            name: asset_name(n),
            kind: Some((*dice.pick(&["host", "image", "repository", "url"])).to_owned()),
            class: dice.chance(0.5).then(|| (*dice.pick(&["server", "client", "network"])).to_owned()),
            groups: sorted((0..dice.below(3)).map(|_| format!("group-{}", dice.skewed(30))).collect()),
            criticality: dice.chance(0.8).then(|| *dice.pick(Criticality::ALL)),
            environment: dice.chance(0.9).then(|| *dice.pick(&environments)),
            internet_exposed: dice.chance(0.7).then(|| dice.chance(0.2)),
            owner_team: None,
            tags: sorted((0..dice.below(4)).map(|_| tag(dice.skewed(TAGS))).collect()),
            archived_at: None,
            created_at: NOW,
            updated_at: NOW,
            version: 1,
        })
        .collect()
}

/// The place of each finding's asset, and the finding.
pub fn findings(count: usize, assets: &[Asset]) -> Vec<(usize, Finding)> {
    let mut dice = Dice::new(2);
    (0..count)
        .map(|n| {
            let at = dice.skewed(assets.len());
            (at, finding(n, &assets[at], &mut dice))
        })
        .collect()
}

fn finding(n: usize, asset: &Asset, dice: &mut Dice) -> Finding {
    let weakness = dice.skewed(WEAKNESSES);
    // What is known of a weakness is the same wherever it is found.
    let mut fixed = Dice::new(weakness as u64 * 31 + 7);
    let part = fixed.skewed(COMPONENTS);
    let severities = [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5].map(|code| Severity::ALL[code]);
    let severity = *fixed.pick(&severities);
    let scanner = SCANNERS[fixed.skewed(SCANNERS.len())];
    let title = format!("{} {} ({})", fixed.pick(FLAWS), component(part), cve(weakness));
    let mut said = vec![
        Statement::Set(ScalarField::Title, Some(Scalar::Text(title))),
        Statement::Set(ScalarField::Severity, Some(Scalar::Severity(severity))),
        Statement::Element(SetField::CveIds, cve(weakness), true),
        Statement::Element(SetField::CweIds, format!("CWE-{}", fixed.skewed(80)), true),
    ];
    if fixed.chance(0.8) {
        let kind = (*fixed.pick(TYPES)).to_owned();
        said.push(Statement::Set(ScalarField::VulnerabilityType, Some(Scalar::Text(kind))));
    }
    if fixed.chance(0.9) {
        let score = f64::from(severity.code()) * 1.8 + fixed.below(10) as f64 / 10.0;
        said.push(Statement::Set(
            ScalarField::CvssScore,
            Some(Scalar::Number((score * 10.0).round() / 10.0)),
        ));
        let epss = (fixed.share().powi(4) * 1000.0).round() / 1000.0;
        said.push(Statement::Set(ScalarField::EpssScore, Some(Scalar::Number(epss))));
    }
    if fixed.chance(0.3) {
        let known = fixed.chance(0.2);
        said.push(Statement::Set(ScalarField::KnownExploit, Some(Scalar::Flag(known))));
    }
    for _ in 0..dice.below(3) {
        said.push(Statement::Element(SetField::Tags, tag(dice.skewed(TAGS)), true));
    }
    let mut layers = Layers::new();
    layers.refresh(said);
    let first_seen_at = Timestamp(NOW.0 - (dice.below(400) as i64) * Span::DAY.0 - 1_000_000);
    let on_web = scanner == "zap" || scanner == "nessus";
    Finding {
        id: Uuid::from_u128(0xF000_0000_0000 + n as u128),
        company: Uuid::from_u128(0xC1),
        project: project(dice.skewed(PROJECTS)),
        asset: asset.id,
        fingerprint: Uuid::from_u128(n as u128),
        issue: Uuid::from_u128(n as u128),
        issue_by: None,
        sighting: None,
        evidence: Evidence {
            class: *fixed.pick(&[FindingClass::ALL[0], FindingClass::ALL[0], FindingClass::ALL[1]]),
            description: Some(
                "A flaw in the parser lets a remote sender read memory past the end. ".repeat(3),
            ),
            scanner_source: scanner.to_owned(),
            scanner_category: Some((*fixed.pick(CATEGORIES)).to_owned()),
            scanner_reference: Some(format!("{}-{}", scanner, weakness)),
            endpoint: on_web.then(|| format!("https://{}/path/{}", asset.name, dice.below(40))),
            port: on_web.then(|| *dice.pick(&[80, 443, 443, 8080, 22])),
            component_name: (!on_web).then(|| component(part)),
            component_version: (!on_web)
                .then(|| format!("{}.{}.{}", 1 + part % 4, part % 12, fixed.below(9))),
            component_purl: (!on_web).then(|| format!("pkg:npm/{}@1.{}", component(part), part % 12)),
            fixed_version: None,
            fix_available: fixed.chance(0.9).then(|| fixed.chance(0.6)),
            file_path: (!on_web).then(|| file(fixed.skewed(4_000))),
            line: None,
            references: Vec::new(),
            excerpt: None,
        },
        shown: Shown::of(&layers),
        layers,
        first_seen_at,
        last_seen_at: NOW.minus(Span::HOUR),
        closed_at: None,
        sla_breached: None,
        due_at: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// A condition that speaks of something in particular.
fn particular(dice: &mut Dice) -> Json {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let some = |dice: &mut Dice, of: &dyn Fn(&mut Dice) -> String| -> Json {
        (0..2 + dice.below(4)).map(|_| json!(of(dice))).collect()
    };
    let part = |dice: &mut Dice| component(dice.skewed(COMPONENTS));
    let weakness = |dice: &mut Dice| cve(dice.skewed(WEAKNESSES));
    let place = |dice: &mut Dice| asset_name(dice.skewed(ASSETS));
    match dice.below(40) {
        0..=5 => leaf("component_name", "eq", json!(part(dice))),
        6..=8 => leaf("component_name", "in", some(dice, &part)),
        9 => leaf("component_purl", "starts_with", json!(format!("pkg:npm/{}@", part(dice)))),
        10..=14 => leaf("cve_ids", "contains", json!(weakness(dice))),
        15..=16 => leaf("cve_ids", "in", some(dice, &weakness)),
        17..=20 => leaf("asset_name", "eq", json!(place(dice))),
        21 => leaf("asset_name", "starts_with", json!(format!("{}-{}", dice.pick(ROLES), dice.below(6)))),
        22..=24 => leaf("scanner_reference", "eq", json!(format!("trivy-{}", dice.skewed(WEAKNESSES)))),
        25..=27 => leaf("file_path", "starts_with", json!(file(dice.skewed(4_000)))),
        28 => leaf("file_path", "contains", json!(format!("/{}/", part(dice)))),
        29..=30 => leaf("title", "contains", json!(part(dice))),
        31 => leaf("endpoint", "contains", json!(place(dice))),
        32..=33 => leaf("project", "eq", json!(project(dice.below(PROJECTS)))),
        34 => leaf(
            "asset_groups",
            "in",
            json!([format!("group-{}", dice.below(30)), format!("group-{}", dice.below(30))]),
        ),
        35..=36 => leaf("tags", "contains", json!(tag(5 + dice.below(TAGS - 5)))),
        37 => leaf("asset_tags", "all_in", json!([tag(dice.below(9)), tag(dice.below(TAGS))])),
        38 => leaf("cwe_ids", "contains", json!(format!("CWE-{}", dice.skewed(80)))),
        _ => leaf(
            "component_version",
            "eq",
            json!(format!("{}.{}.{}", 1 + dice.below(4), dice.below(12), dice.below(9))),
        ),
    }
}

/// A condition that much of what is found meets.
fn broad(dice: &mut Dice) -> Json {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let bare = |field: &str, operator: &str| json!({ "field": field, "operator": operator });
    match dice.below(36) {
        0..=5 => leaf("severity", "gte_ord", json!(Severity::ALL[2 + dice.below(3)])),
        6..=7 => leaf("severity", "eq", json!(dice.pick(Severity::ALL))),
        8 => leaf("severity", "in", json!(["high", "critical"])),
        9 => leaf("severity", "lte_ord", json!("medium")),
        10..=12 => leaf("asset_environment", "eq", json!(Environment::ALL[dice.below(3)])),
        13 => leaf("asset_environment", "neq", json!(Environment::ALL[dice.below(3)])),
        14..=15 => leaf("asset_criticality", "gte_ord", json!(dice.pick(Criticality::ALL))),
        16..=18 => leaf("internet_exposed", "eq", json!(dice.chance(0.5))),
        19..=20 => leaf("scanner_source", "eq", json!(dice.pick(SCANNERS))),
        21 => leaf("scanner_source", "in", json!([dice.pick(SCANNERS), dice.pick(SCANNERS)])),
        22..=23 => leaf("cvss_score", "gte", json!(dice.below(90) as f64 / 10.0)),
        24 => leaf("cvss_score", "lt", json!(dice.below(90) as f64 / 10.0)),
        25..=26 => leaf("epss_score", "gt", json!(dice.below(500) as f64 / 1000.0)),
        27 => leaf("known_exploit", "eq", json!(dice.chance(0.7))),
        28 => leaf("first_seen_at", "older_than", json!(format!("{}d", 7 * (1 + dice.below(20))))),
        29 => leaf("first_seen_at", "within_last", json!(format!("{}d", 1 + dice.below(60)))),
        30 => leaf("fix_available", "eq", json!(dice.chance(0.6))),
        31 => leaf("tags", "neq", json!(tag(dice.below(TAGS)))),
        32 => leaf("tags", "not_in", json!([tag(dice.below(TAGS)), tag(dice.below(TAGS))])),
        33 => bare("assigned_teams", "is_empty"),
        34 => leaf("vulnerability_type", "eq", json!(dice.pick(TYPES))),
        _ => leaf("asset_tags", "in", json!([tag(dice.below(TAGS)), tag(dice.below(TAGS))])),
    }
}

fn regex(dice: &mut Dice) -> Json {
    let part = component(dice.skewed(COMPONENTS));
    let (field, pattern) = match dice.below(5) {
        0 => ("title", format!(r"(?i)\b{part}\b")),
        1 => ("title", format!(r"CVE-20\d\d-\d{}{}", dice.below(10), dice.below(10))),
        2 => ("file_path", format!(r"^(usr|opt)/.*{part}/.*\.so$")),
        3 => ("asset_name", format!(r"^(web|app)-\d{}\d\.", dice.below(6))),
        _ => ("component_version", format!(r"^{}\.(\d|1\d)\.{}", 1 + dice.below(4), dice.below(9))),
    };
    json!({ "field": field, "operator": "matches_regex", "value": pattern })
}

fn group(logic: &str, conditions: Vec<Json>) -> Json {
    json!({ "logic": logic, "conditions": conditions })
}

/// A tree of depth 1 to 3; every tenth has a regex.
pub fn criteria(n: usize) -> Json {
    let mut dice = Dice::new(n as u64 * 1_009 + 3);
    let dice = &mut dice;
    let first = if dice.chance(0.92) { particular(dice) } else { broad(dice) };
    let mut all = vec![first, broad(dice)];
    all.extend((0..dice.below(3)).map(|_| broad(dice)).collect::<Vec<_>>());
    if n.is_multiple_of(10) {
        all.push(regex(dice));
    }
    match dice.below(10) {
        0..=1 if !n.is_multiple_of(10) => all.swap_remove(0),
        0..=4 => group("AND", all),
        5..=7 => {
            let either = (0..2 + dice.below(2)).map(|_| broad(dice)).collect();
            all.push(group("OR", either));
            group("AND", all)
        }
        _ => {
            let pair = group("AND", vec![particular(dice), broad(dice)]);
            let either = vec![group("AND", all), pair];
            group("AND", vec![broad(dice), group("OR", either)])
        }
    }
}

pub fn action(n: usize) -> Action {
    let mut dice = Dice::new(n as u64 * 2_003 + 5);
    match dice.below(20) {
        0..=6 => Action::OverrideSeverity(OverrideSeverity { severity: *dice.pick(Severity::ALL) }),
        7..=11 => Action::AppendTag(AppendTag { tags: vec![tag(dice.below(TAGS))] }),
        12..=14 => {
            let team = Uuid::from_u128(0xD0 + dice.below(20) as u128);
            Action::Assign(Assign { users: Vec::new(), teams: vec![team] })
        }
        15 => Action::AcceptedRisk(AcceptedRisk {
            reason: "isolated".to_owned(),
            reference: None,
            owner: None,
            until: None,
        }),
        16 => Action::SetVulnType(SetVulnType { vulnerability_type: (*dice.pick(TYPES)).to_owned() }),
        17..=18 => Action::SetRemediation(SetRemediation {
            remediation: Some(format!("Upgrade as advisory {} says.", dice.below(50))),
            techniques: Vec::new(),
        }),
        _ => Action::NormalizeTitle(NormalizeTitle {}),
    }
}
