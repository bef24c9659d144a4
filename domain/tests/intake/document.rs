//! `docs/formats.md` is drawn from the catalogue.

use std::path::Path;

/// With `COUNTERSIGN_WRITE_DOCS` set the page is written; without, it is compared.
#[test]
fn the_page_about_formats_is_the_catalogue() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
    let drawn = domain::intake::format::document();
    if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(page.parent().expect("the folder of a file")).expect("the folder");
        std::fs::write(&page, &drawn).expect("the page");
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == drawn,
        "docs/formats.md differs from the catalogue: set COUNTERSIGN_WRITE_DOCS to write it anew"
    );
}
