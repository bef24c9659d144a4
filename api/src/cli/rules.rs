//! `countersign rules`: all rules of a company as a file, over the API.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use domain::error::{Code, Error, Result};
use serde_json::{Value as Json, json};

use super::print;
use super::remote::{Remote, Way};

/// The status with which a command ends whose document has faults.
const FAULTY: u8 = 1;
/// The status with which a command ends that could not be done.
const FAILED: u8 = 2;

#[derive(Subcommand)]
pub enum Rules {
    /// Prints all rules as a document.
    Export(Export),
    /// Says what a document would make of the rules. Nothing is written.
    Plan(Plan),
    /// Does what a document says, all of it or nothing.
    Apply(Apply),
}

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    remote: Remote,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Notation::Yaml)]
    format: Notation,
}

#[derive(Clone, Copy, ValueEnum)]
enum Notation {
    Yaml,
    Json,
}

#[derive(Args)]
pub struct Plan {
    #[command(flatten)]
    remote: Remote,
    /// The document, in YAML or JSON.
    file: PathBuf,
    #[command(flatten)]
    how: How,
    /// Prints the plan as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Apply {
    #[command(flatten)]
    remote: Remote,
    /// The document, in YAML or JSON.
    file: PathBuf,
    #[command(flatten)]
    how: How,
    /// The hash of the plan that was seen: applies that plan and no other.
    #[arg(long)]
    plan: Option<String>,
    /// Applies whatever the plan is now, without asking.
    #[arg(long, conflicts_with = "plan")]
    yes: bool,
}

/// How a document is applied.
#[derive(Args)]
struct How {
    /// Archives rules that the document does not have.
    #[arg(long)]
    prune: bool,
    /// Asks for the approval of what is gated.
    #[arg(long)]
    submit: bool,
}

impl How {
    fn options(&self) -> Json {
        json!({ "prune": self.prune, "submit": self.submit })
    }
}

const EXPORT: &str = "query($format: RuleSetNotation!) { ruleSetExport(format: $format) }";

const PLAN: &str = "query($document: String!, $options: RuleSetOptionsInput!) {
  ruleSetPlan(document: $document, options: $options) {
    hash steps { kind key name changes { field before after } } faults { pointer code message } } }";

const APPLY: &str = "mutation($document: String!, $hash: String!, $options: RuleSetOptionsInput!) {
  ruleSetApply(document: $document, planHash: $hash, options: $options) {
    plan { steps { kind key } } userErrors { code message field } } }";

impl Rules {
    pub async fn run(self) -> ExitCode {
        let done = match self {
            Self::Export(export) => export.run().await,
            Self::Plan(plan) => plan.run().await,
            Self::Apply(apply) => apply.run().await,
        };
        done.unwrap_or_else(|error| {
            eprintln!("countersign: {}", error.message);
            if !error.field.is_empty() {
                eprintln!("  at {}", error.field.join("."));
            }
            ExitCode::from(FAILED)
        })
    }
}

impl Export {
    async fn run(&self) -> Result<ExitCode> {
        let format = match self.format {
            Notation::Yaml => "YAML",
            Notation::Json => "JSON",
        };
        let answer = self.remote.way()?.ask(EXPORT, json!({ "format": format })).await?;
        print(answer["ruleSetExport"].as_str().unwrap_or_default().trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Plan {
    async fn run(&self) -> Result<ExitCode> {
        let document = read(&self.file)?;
        let plan = plan(&self.remote.way()?, &document, &self.how).await?;
        if self.json {
            print(format_args!("{plan:#}"))?;
        } else {
            tell(&plan)?;
        }
        Ok(if plan["hash"].is_string() { ExitCode::SUCCESS } else { ExitCode::from(FAULTY) })
    }
}

impl Apply {
    async fn run(&self) -> Result<ExitCode> {
        let (document, way) = (read(&self.file)?, self.remote.way()?);
        let hash = match &self.plan {
            Some(hash) => hash.clone(),
            None => {
                let plan = plan(&way, &document, &self.how).await?;
                tell(&plan)?;
                let Some(hash) = plan["hash"].as_str() else { return Ok(ExitCode::from(FAULTY)) };
                if !writes(&plan) {
                    return Ok(ExitCode::SUCCESS);
                }
                if !self.yes && !agreed()? {
                    print("Nothing was done.")?;
                    return Ok(ExitCode::from(FAILED));
                }
                hash.to_owned()
            }
        };
        let variables = json!({ "document": document, "hash": hash, "options": self.how.options() });
        way.change(APPLY, variables).await?;
        print("Applied.")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::invalid("file", format!("{}: {error}", file.display())))
}

async fn plan(way: &Way, document: &str, how: &How) -> Result<Json> {
    let variables = json!({ "document": document, "options": how.options() });
    Ok(way.ask(PLAN, variables).await?["ruleSetPlan"].take())
}

/// Whether somebody at the terminal says yes.
fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = "Nobody can be asked here: name the plan with --plan HASH, or say --yes.";
        return Err(Error::new(Code::Required, message).at("plan"));
    }
    print!("Apply this? [y/N] ");
    std::io::stdout().flush().map_err(Error::internal)?;
    let mut said = String::new();
    std::io::stdin().read_line(&mut said).map_err(Error::internal)?;
    Ok(matches!(said.trim(), "y" | "Y" | "yes"))
}

fn steps(plan: &Json) -> impl Iterator<Item = &Json> {
    plan["steps"].as_array().into_iter().flatten()
}

fn writes(plan: &Json) -> bool {
    steps(plan).any(|step| ["CREATE", "CHANGE", "ARCHIVE"].iter().any(|kind| step["kind"] == **kind))
}

/// The plan as lines: what is done, member by member, and how often.
fn tell(plan: &Json) -> Result<()> {
    let text = |json: &Json| json.as_str().unwrap_or("?").to_owned();
    for fault in plan["faults"].as_array().into_iter().flatten() {
        print(format_args!(
            "{}  {}  {}",
            text(&fault["pointer"]),
            text(&fault["code"]),
            text(&fault["message"])
        ))?;
    }
    let Some(hash) = plan["hash"].as_str() else { return Ok(()) };
    let signs = [("CREATE", "+"), ("CHANGE", "~"), ("ARCHIVE", "-")];
    for step in steps(plan) {
        let Some((_, sign)) = signs.iter().find(|(kind, _)| step["kind"] == *kind) else { continue };
        print(format_args!("{sign} {}  {}", text(&step["key"]), text(&step["name"])))?;
        for change in step["changes"].as_array().into_iter().flatten() {
            print(format_args!(
                "    {}: {} -> {}",
                text(&change["field"]),
                change["before"],
                change["after"]
            ))?;
        }
    }
    let count = |kind: &str| steps(plan).filter(|step| step["kind"] == kind).count();
    print(format_args!(
        "{} to create, {} to change, {} to archive, {} unchanged, {} not in the document",
        count("CREATE"),
        count("CHANGE"),
        count("ARCHIVE"),
        count("UNCHANGED"),
        count("LEFT")
    ))?;
    print(format_args!("plan {hash}"))
}
