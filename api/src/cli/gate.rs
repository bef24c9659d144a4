//! `countersign gate`: whether a project may go out, for a pipeline that builds it.

use std::process::ExitCode;

use clap::Args;
use domain::error::{Error, Result};
use serde_json::{Value as Json, json};

use super::print;
use super::remote::{Remote, Way};

/// The status with which the command ends where the question could not be answered.
const UNANSWERED: u8 = 2;

/// Asks whether a project may go out, and ends with status 0 if so, 1 if not, and 2 where nobody can tell.
#[derive(Args)]
pub struct Gate {
    #[command(flatten)]
    remote: Remote,
    /// The project: its name, or its global id.
    #[arg(long)]
    project: String,
    /// The view that says which active findings are in the way: its name, or its global id.
    #[arg(long)]
    view: Option<String>,
    /// A criteria tree in JSON that says so, or `@FILE` with one. Where neither is said, all active findings are in the way.
    #[arg(long)]
    filter: Option<String>,
    /// How old the newest scan may be: `7d`, `12h`.
    #[arg(long)]
    max_scan_age: Option<String>,
    /// How many of the findings in the way are named.
    #[arg(long, default_value_t = 10)]
    findings: u16,
    /// Prints what the server answers, as JSON.
    #[arg(long)]
    json: bool,
}

const QUESTION: &str = "query($project: ID!, $view: ID, $filter: Criteria, $age: Duration, $first: Int!) {
  releaseGate(project: $project, view: $view, filter: $filter, maxScanAge: $age, first: $first) {
    pass asOf lastScanAt project { id name } view { id name }
    reasons { kind message count severities { severity count }
      findings { id title severity status componentName componentVersion cveIds asset { name } } } } }";

const PROJECTS: &str = "query($query: String, $after: String) {
  found: projects(filter: { query: $query }, first: 500, after: $after) {
    nodes { id name } pageInfo { hasNextPage endCursor } } }";

const VIEWS: &str = "query($after: String) { found: views(noun: FINDINGS, first: 500, after: $after) {
    nodes { id name } pageInfo { hasNextPage endCursor } } }";

impl Gate {
    pub async fn run(self) -> ExitCode {
        match self.answer().await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("countersign: {}", error.message);
                if !error.field.is_empty() {
                    eprintln!("  at {}", error.field.join("."));
                }
                ExitCode::from(UNANSWERED)
            }
        }
    }

    async fn answer(&self) -> Result<bool> {
        let filter = self.filter.as_deref().map(tree).transpose()?;
        let way = self.remote.way()?;
        let project = named(&way, PROJECTS, "project", &self.project).await?;
        let view = match &self.view {
            Some(name) => Some(named(&way, VIEWS, "view", name).await?),
            None => None,
        };
        let variables = json!({ "project": project, "view": view, "filter": filter, "age": self.max_scan_age,
            "first": self.findings });
        let answer = way.ask(QUESTION, variables).await?["releaseGate"].take();
        let pass =
            answer["pass"].as_bool().ok_or_else(|| Error::invalid("url", "The server has no gate."))?;
        if self.json {
            print(format_args!("{answer:#}"))?;
        } else {
            tell(&answer, pass)?;
        }
        Ok(pass)
    }
}

fn tree(said: &str) -> Result<Json> {
    let text = match said.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Error::invalid("filter", format!("{file}: {error}")))?,
        None => said.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| Error::invalid("filter", error.to_string()))
}

/// The global id of the one record of this name, or the id itself where it is one.
async fn named(way: &Way, query: &str, noun: &str, name: &str) -> Result<String> {
    let (mut after, mut found) = (Json::Null, Vec::new());
    loop {
        let page = way.ask(query, json!({ "query": name, "after": after })).await?["found"].take();
        let nodes = page["nodes"].as_array().into_iter().flatten();
        let same = nodes.filter(|node| node["name"] == name.trim());
        found.extend(same.filter_map(|node| node["id"].as_str()).map(str::to_owned));
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    match found.len() {
        // What is no name may be an id: the gate itself says whether it is.
        0 => Ok(name.trim().to_owned()),
        1 => Ok(found.remove(0)),
        _ => Err(Error::invalid(noun, format!("Several are called `{name}`: name the {noun} by its id."))),
    }
}

/// The answer as lines for people who read the log of a build.
fn tell(answer: &Json, pass: bool) -> Result<()> {
    let text = |json: &Json| json.as_str().unwrap_or("?").to_owned();
    let (verdict, project) = (if pass { "PASS" } else { "FAIL" }, text(&answer["project"]["name"]));
    let view =
        answer["view"]["name"].as_str().map(|name| format!(", by the view {name}")).unwrap_or_default();
    print(format_args!("{verdict} {project}{view}, as of {}", text(&answer["asOf"])))?;
    for reason in answer["reasons"].as_array().into_iter().flatten() {
        print(format_args!("  {}: {}", text(&reason["kind"]), text(&reason["message"])))?;
        let severities = reason["severities"].as_array().into_iter().flatten();
        let counts: Vec<String> = severities
            .map(|one| format!("{} {}", one["count"], text(&one["severity"]).to_lowercase()))
            .collect();
        if !counts.is_empty() {
            print(format_args!("    {}", counts.join(", ")))?;
        }
        let findings = reason["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        for finding in findings {
            print(format_args!(
                "    {:<8} {}{}  [{}]",
                text(&finding["severity"]),
                text(&finding["title"]),
                part(finding),
                text(&finding["asset"]["name"])
            ))?;
        }
        let count = reason["count"].as_u64().unwrap_or_default();
        let left = count.saturating_sub(findings.len() as u64);
        if left > 0 && !findings.is_empty() {
            print(format_args!("    and {left} more"))?;
        }
    }
    Ok(())
}

fn part(finding: &Json) -> String {
    let version =
        finding["componentVersion"].as_str().map(|version| format!(" {version}")).unwrap_or_default();
    finding["componentName"].as_str().map(|name| format!(" in {name}{version}")).unwrap_or_default()
}
