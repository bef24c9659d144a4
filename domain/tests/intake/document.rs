//! Pages of `docs/` are drawn from the catalogues.

use std::path::Path;

#[test]
fn the_page_about_formats_is_the_catalogue() {
    is_drawn("formats.md", &domain::intake::format::document());
}

#[test]
fn the_page_about_intelligence_is_the_catalogue() {
    is_drawn("intelligence.md", &domain::intel::document());
}

/// With `COUNTERSIGN_WRITE_DOCS` set the page is written; without, it is compared.
fn is_drawn(name: &str, drawn: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(page.parent().expect("the folder of a file")).expect("the folder");
        std::fs::write(&page, drawn).expect("the page");
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == drawn,
        "docs/{name} differs from the catalogue: set COUNTERSIGN_WRITE_DOCS to write it anew"
    );
}
