//! What the specifications of VEX ask of a document, as far as exports have it: members, words and
//! patterns. With `COUNTERSIGN_SCHEMAS`, a folder of the published JSON Schemas, those are asked too.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;
use support::node;

const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

static CVE: LazyLock<Regex> = LazyLock::new(|| Regex::new("^CVE-[0-9]{4}-[0-9]{4,}$").unwrap());
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$").unwrap());
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[a-z][a-z0-9+.-]*:[!-~]+$").unwrap());
static SERIAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$").unwrap()
});
static PURL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^pkg:[A-Za-z.\-+][A-Za-z0-9.\-+]*/.+").unwrap());

fn text(json: &Json) -> &str {
    let text = json.as_str().unwrap_or_else(|| panic!("this is no text: {json}"));
    assert!(!text.trim().is_empty(), "a text says nothing");
    text
}

fn list(json: &Json) -> &[Json] {
    let list = json.as_array().unwrap_or_else(|| panic!("this is no list: {json}"));
    let distinct: BTreeSet<String> = list.iter().map(Json::to_string).collect();
    assert_eq!(distinct.len(), list.len(), "a list says something twice: {json}");
    list
}

/// The elements of a list that may be missing, but not empty.
fn some(json: &Json) -> &[Json] {
    if json.is_null() {
        return &[];
    }
    assert!(!list(json).is_empty());
    list(json)
}

fn only(json: &Json, members: &[&str]) {
    let strangers: Vec<&String> =
        json.as_object().unwrap().keys().filter(|member| !members.contains(&member.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?} in {json}");
}

pub fn openvex(document: &Json) {
    only(document, &["@context", "@id", "author", "timestamp", "version", "tooling", "statements"]);
    assert_eq!(document["@context"], "https://openvex.dev/ns/v0.2.0");
    assert!(SERIAL.is_match(text(&document["@id"])) && TIME.is_match(text(&document["timestamp"])));
    assert_eq!((document["version"].as_u64(), text(&document["author"]).is_empty()), (Some(1), false));
    assert!(!list(&document["statements"]).is_empty());
    for statement in list(&document["statements"]) {
        only(
            statement,
            &[
                "vulnerability",
                "products",
                "status",
                "justification",
                "impact_statement",
                "action_statement",
                "status_notes",
            ],
        );
        only(&statement["vulnerability"], &["name", "aliases"]);
        text(&statement["vulnerability"]["name"]);
        for product in list(&statement["products"]) {
            only(product, &["@id", "subcomponents"]);
            assert!(ADDRESS.is_match(text(&product["@id"])), "{product}");
            for part in some(&product["subcomponents"]) {
                assert!(ADDRESS.is_match(text(&part["@id"])), "{part}");
            }
        }
        let has = |member: &str| !statement[member].is_null();
        match text(&statement["status"]) {
            "not_affected" => assert!(has("justification") != has("impact_statement"), "{statement}"),
            "affected" => assert!(has("action_statement") && !has("justification"), "{statement}"),
            "fixed" | "under_investigation" => assert!(!has("justification"), "{statement}"),
            status => panic!("OpenVEX has no status {status}"),
        }
        assert!(!has("justification") || JUSTIFICATIONS.contains(&text(&statement["justification"])));
    }
}

pub fn cyclonedx(document: &Json) {
    only(
        document,
        &["bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "vulnerabilities"],
    );
    assert_eq!((text(&document["bomFormat"]), text(&document["specVersion"])), ("CycloneDX", "1.6"));
    assert!(SERIAL.is_match(text(&document["serialNumber"])), "{}", document["serialNumber"]);
    assert!(TIME.is_match(text(&document["metadata"]["timestamp"])));
    let mut references = BTreeSet::new();
    let components = list(&document["components"]).iter();
    for component in components.flat_map(|whole| std::iter::once(whole).chain(list(&whole["components"]))) {
        only(component, &["type", "bom-ref", "name", "version", "purl", "components"]);
        let kinds = [
            "application",
            "container",
            "device",
            "file",
            "firmware",
            "library",
            "operating-system",
            "platform",
        ];
        assert!(kinds.contains(&text(&component["type"])), "{component}");
        text(&component["name"]);
        assert!(references.insert(text(&component["bom-ref"])), "two are called alike: {component}");
    }
    assert!(!list(&document["vulnerabilities"]).is_empty());
    for vulnerability in list(&document["vulnerabilities"]) {
        only(vulnerability, &["id", "references", "analysis", "affects", "properties"]);
        text(&vulnerability["id"]);
        for affected in some(&vulnerability["affects"]) {
            assert!(references.contains(text(&affected["ref"])), "{affected} is nowhere");
        }
        for alias in some(&vulnerability["references"]) {
            text(&alias["id"]);
            text(&alias["source"]["name"]);
        }
        let analysis = &vulnerability["analysis"];
        only(analysis, &["state", "justification", "response", "detail"]);
        let states = ["resolved", "exploitable", "in_triage", "false_positive", "not_affected"];
        assert!(states.contains(&text(&analysis["state"])), "{analysis}");
        let whys = [
            "code_not_present",
            "code_not_reachable",
            "requires_configuration",
            "requires_dependency",
            "requires_environment",
            "protected_by_compiler",
            "protected_at_runtime",
            "protected_at_perimeter",
            "protected_by_mitigating_control",
        ];
        let why = &analysis["justification"];
        assert!(why.is_null() || whys.contains(&text(why)), "{analysis}");
        assert!(some(&analysis["response"]).iter().all(|response| response == "will_not_fix"));
    }
}

pub fn csaf(document: &Json) {
    only(document, &["document", "product_tree", "vulnerabilities"]);
    let head = &document["document"];
    assert_eq!((text(&head["category"]), text(&head["csaf_version"])), ("csaf_vex", "2.0"));
    text(&head["title"]);
    let publisher = &head["publisher"];
    assert_eq!(text(&publisher["category"]), "vendor");
    assert!(ADDRESS.is_match(text(&publisher["namespace"])) && !text(&publisher["name"]).is_empty());
    let tracking = &head["tracking"];
    for member in ["id", "status", "version"] {
        text(&tracking[member]);
    }
    for member in ["initial_release_date", "current_release_date"] {
        assert!(TIME.is_match(text(&tracking[member])));
    }
    let history = list(&tracking["revision_history"]);
    assert_eq!((history.len(), &history[0]["number"]), (1, &tracking["version"]));
    let mut products = BTreeSet::new();
    let mut define = |product: &Json| {
        text(&product["name"]);
        assert!(products.insert(text(&product["product_id"]).to_owned()), "defined twice: {product}");
        let purl = &product["product_identification_helper"]["purl"];
        assert!(purl.is_null() || PURL.is_match(text(purl)), "{purl}");
    };
    let tree = &document["product_tree"];
    assert!(!list(&tree["branches"]).is_empty());
    for branch in list(&tree["branches"]) {
        assert_eq!(text(&branch["category"]), "product_name");
        text(&branch["name"]);
        match branch["branches"].as_array() {
            None => define(&branch["product"]),
            Some(versions) => {
                for version in versions {
                    assert_eq!(text(&version["category"]), "product_version");
                    text(&version["name"]);
                    define(&version["product"]);
                }
            }
        }
    }
    for relation in some(&tree["relationships"]) {
        define(&relation["full_product_name"]);
        assert_eq!(text(&relation["category"]), "default_component_of");
    }
    for relation in some(&tree["relationships"]) {
        for member in ["product_reference", "relates_to_product_reference"] {
            assert!(products.contains(text(&relation[member])), "{relation}");
        }
    }
    let known = |json: &Json| -> BTreeSet<String> {
        let ids = list(json).iter().map(|id| text(id).to_owned());
        ids.inspect(|id| assert!(products.contains(id), "{id} is defined nowhere")).collect()
    };
    assert!(!list(&document["vulnerabilities"]).is_empty());
    let mut names = BTreeSet::new();
    for vulnerability in list(&document["vulnerabilities"]) {
        let cve = &vulnerability["cve"];
        let name = if cve.is_null() { text(&vulnerability["ids"][0]["text"]) } else { text(cve) };
        assert!(cve.is_null() || CVE.is_match(name), "{name}");
        assert!(names.insert(name), "{name} has two places");
        assert!(!list(&vulnerability["notes"]).is_empty());
        for note in list(&vulnerability["notes"]) {
            text(&note["text"]);
            assert!(["summary", "other"].contains(&text(&note["category"])));
        }
        let status = &vulnerability["product_status"];
        only(status, &["fixed", "known_affected", "known_not_affected", "under_investigation"]);
        let of = |list: &str| if status[list].is_null() { BTreeSet::new() } else { known(&status[list]) };
        let lists = ["fixed", "known_affected", "known_not_affected", "under_investigation"].map(of);
        let all: BTreeSet<&String> = lists.iter().flatten().collect();
        assert!(!all.is_empty(), "it is about nothing: {vulnerability}");
        assert_eq!(all.len(), lists.iter().map(BTreeSet::len).sum::<usize>(), "two lists: {vulnerability}");
        let mut said = BTreeSet::new();
        let mut flagged = BTreeSet::new();
        for flag in some(&vulnerability["flags"]) {
            assert!(JUSTIFICATIONS.contains(&text(&flag["label"])), "{flag}");
            for id in known(&flag["product_ids"]) {
                assert!(flagged.insert(id.clone()), "two flags on {id}");
                said.insert(id);
            }
        }
        for threat in some(&vulnerability["threats"]) {
            assert_eq!(text(&threat["category"]), "impact");
            text(&threat["details"]);
            said.extend(known(&threat["product_ids"]));
        }
        let mut remedied = BTreeSet::new();
        for remediation in some(&vulnerability["remediations"]) {
            assert!(["no_fix_planned", "mitigation", "vendor_fix"].contains(&text(&remediation["category"])));
            text(&remediation["details"]);
            remedied.extend(known(&remediation["product_ids"]));
        }
        // The profile: an impact statement for what is not affected, an action statement for what is.
        assert!(lists[2].is_subset(&said), "{vulnerability}");
        assert!(lists[1].is_subset(&remedied), "{vulnerability}");
    }
}

/// Asks the published schema of this kind of document, where the folder of schemas is named.
pub async fn by_schema(word: &str, text: &str) {
    let Ok(folder) = std::env::var("COUNTERSIGN_SCHEMAS") else {
        eprintln!("SKIPPED: COUNTERSIGN_SCHEMAS does not name a folder of published schemas");
        return;
    };
    let schema = match word {
        "OPENVEX" => "openvex.json",
        "CYCLONEDX_VEX" => "bom-1.6.SNAPSHOT.schema.json",
        _ => "csaf.json",
    };
    let beside = tempfile::tempdir().expect("there is room for a file");
    let file = beside.path().join("document.json");
    std::fs::write(&file, text).expect("there is room for a file");
    let file = file.to_string_lossy().into_owned();
    if let Some(said) = node::run("schemas.mjs", &[&folder, schema, &file]).await {
        assert_eq!(said, ["1 documents, 0 faults"]);
    }
}
