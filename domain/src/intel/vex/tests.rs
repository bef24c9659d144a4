//! Of which findings a statement holds: the table case by case, and what holds of all.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::*;
use crate::vocabulary::terms::Status;

/// A component as `name version purl`, with `-` for what is missing.
fn component(text: &str) -> Component {
    let mut parts = text.split(' ').map(|part| (part != "-").then(|| part.to_owned()));
    Component {
        name: parts.next().flatten(),
        version: parts.next().flatten(),
        purl: parts.next().flatten(),
        ranged: false,
    }
}

fn asset(text: &str) -> ReportedAsset {
    let (kind, name) = text.split_once(' ').map_or((None, text), |(kind, name)| (Some(kind), name));
    ReportedAsset { name: name.to_owned(), kind: kind.map(str::to_owned) }
}

fn product(name: &str, purl: Option<&str>) -> Product {
    Product { name: name.to_owned(), purl: purl.map(str::to_owned) }
}

fn said(by_caller: Option<&str>, product: Product, subject: &str, part: bool) -> Said {
    Said {
        state: "not_affected".to_owned(),
        verdict: Some(Verdict::of(Status::FalsePositive)),
        asset: by_caller.map(str::to_owned),
        product,
        subject: component(subject),
        part,
    }
}

fn is_about(said: &Said, on: &ReportedAsset, found: &str) -> bool {
    let found = component(found);
    let place = Place {
        asset: on,
        name: found.name.as_deref(),
        version: found.version.as_deref(),
        purl: found.purl.as_deref(),
    };
    said.is_about(&place)
}

#[test]
fn components_are_compared_by_package_urls_or_else_by_names() {
    const CASES: &[(&str, &str, bool)] = &[
        ("- - pkg:npm/a@1", "a 1 pkg:npm/a@1", true),
        ("- - pkg:npm/a", "a 1 pkg:npm/a@1", true),
        ("- - pkg:npm/a@1", "a 2 pkg:npm/a@2", false),
        ("- - pkg:npm/a@1", "a - pkg:npm/a", false),
        ("- - pkg:npm/a@1", "a 1 pkg:npm/a", true),
        ("- - pkg:npm/a@1", "a 1 pkg:pypi/a@1", false),
        ("- - pkg:npm/%40x/a@1", "- - pkg:npm/@x/a@1", true),
        ("- - pkg:npm/%40x/a@1", "- - pkg:npm/%40y/a@1", false),
        ("- - pkg:deb/debian/libc6@2%2B1", "- - pkg:deb/debian/libc6@2+1?arch=amd64", true),
        ("- - pkg:deb/debian/libc6@2?arch=arm64", "- - pkg:deb/debian/libc6@2?arch=amd64", false),
        (
            "- - pkg:deb/debian/libc6@2?arch=amd64",
            "- - pkg:deb/debian/libc6@2?distro=debian-12&arch=amd64",
            true,
        ),
        ("- - pkg:deb/debian/libc6@2", "- - pkg:deb/ubuntu/libc6@2", false),
        ("- - pkg:golang/x/y@1#sub", "- - pkg:golang/x/y@1", false),
        ("- - pkg:golang/x/y@1#sub", "- - pkg:golang/x/y@1#sub", true),
        ("- - pkg:PyPI/A_b@1", "- - pkg:pypi/a-b@1", true),
        ("- - pkg:maven/org.A/b@1", "- - pkg:maven/org.a/b@1", false),
        // The names differ, and package URLs are asked first.
        ("x 9 pkg:npm/a", "y 1 pkg:npm/a@1", false),
        ("x - pkg:npm/a", "y 1 pkg:npm/a@1", true),
        ("a 1 -", "a 1 pkg:npm/a@1", true),
        ("A 1 -", "a 1 -", true),
        ("a - -", "a 1 -", true),
        ("a 1 -", "a 2 -", false),
        ("a 1 -", "a - -", false),
        ("a <2 -", "a 1 -", false),
        ("org.a:b 1 pkg:maven/org.a/b@1", "org.a:b 1 -", true),
        ("- - -", "- - -", false),
        ("- 1 -", "a 1 -", false),
    ];
    for (stated, found, expected) in CASES {
        let of_component = said(None, product("", None), stated, false);
        assert_eq!(is_about(&of_component, &asset("web-01"), found), *expected, "{stated} of {found}");
    }
}

#[test]
fn a_range_holds_for_the_versions_in_it() {
    const CASES: &[(&str, &str, bool)] = &[
        ("a vers:npm/<2.0.0 -", "a 1.9.0 -", true),
        ("a vers:npm/<2.0.0 -", "a 2.0.0 -", false),
        ("a vers:npm/<2.0.0 -", "b 1.9.0 -", false),
        ("a vers:npm/<2.0.0 -", "a - -", false),
        ("a vers:npm/<2.0.0 -", "a latest -", false),
        ("a vers:npm/<2.0.0 -", "a - pkg:npm/a@1.9.0", true),
        ("- <2.0.0 pkg:npm/a", "a 1.9.0-rc.1 pkg:npm/a@1.9.0-rc.1", true),
        ("- <2.0.0 pkg:npm/a", "a - pkg:npm/a@3.0.0", false),
        // Whoever names no package is understood by the package that was found, or else by numbers.
        ("a <1.0~rc1-1 -", "a - pkg:deb/debian/a@1.0~beta-1", true),
        ("a <1.0~rc1-1 -", "a 1.0~beta-1 -", false),
        ("a <4.2 -", "a V4.1 -", true),
        ("a vers:none-such/<2 -", "a 1 -", false),
        ("a up-to-4.2 -", "a 4.2 -", false),
        ("a all -", "a 4.2 -", true),
    ];
    for (stated, found, expected) in CASES {
        let mut of_range = said(None, product("", None), stated, false);
        of_range.subject.ranged = true;
        assert_eq!(is_about(&of_range, &asset("web-01"), found), *expected, "{stated} of {found}");
    }
    for (stated, undecidable) in [
        ("a vers:npm/<2 -", false),
        ("a vers:none-such/<2 -", true),
        ("a up-to-4.2 -", true),
        ("a <b -", true),
    ] {
        let subject = Component { ranged: true, ..component(stated) };
        assert_eq!(subject.is_undecidable(), undecidable, "{stated}");
        assert!(!component(stated).is_undecidable());
    }
}

#[test]
fn assets_are_products_by_their_names() {
    const SHOP: &str = "pkg:oci/shop@sha256%3Aab?repository_url=registry.example/team/shop&tag=2";
    const CASES: &[(&str, Option<&str>, &str, bool)] = &[
        ("Shop", None, "shop", true),
        ("Shop", None, "shop 2", false),
        ("", None, "", false),
        ("shop:2", None, "container_image shop:3", true),
        ("shop:2", None, "host shop:3", false),
        ("registry.example:5000/shop", None, "container_image registry.example:5000/shop:1", true),
        ("registry.example:5000/shop", None, "container_image registry.example:5001/shop:1", false),
        ("pkg:oci/shop", Some(SHOP), "container_image registry.example/team/shop:1@sha256:00", true),
        ("pkg:oci/shop", Some(SHOP), "container_image shop:1", false),
        (
            "pkg:oci/shop",
            Some("pkg:oci/shop?repository_url=registry.example/team"),
            "container_image registry.example/team/shop",
            true,
        ),
        ("pkg:oci/shop", Some("pkg:oci/shop"), "container_image shop:1", true),
        ("pkg:oci/shop", Some("pkg:oci/shop"), "container_image other/shop:1", false),
        (
            "pkg:oci/alpine",
            Some(concat!("pkg:oci/alpine?repository_url=index.docker", ".io/library/alpine")),
            "container_image alpine:3.18",
            true,
        ),
        ("pkg:docker/a/b", Some("pkg:docker/a/b@1"), concat!("container_image docker", ".io/a/b:1"), true),
        ("pkg:oci/shop", Some("pkg:oci/shop"), "repository shop", false),
        ("pkg:oci/shop", Some("pkg:oci/shop"), "shop", true),
        ("pkg:npm/shop", Some("pkg:npm/shop@1"), "repository shop", true),
        ("pkg:npm/shop", Some("pkg:npm/shop@1"), "package pkg:npm/shop", true),
        ("pkg:npm/shop", Some("pkg:npm/shop@1"), "package pkg:pypi/shop", false),
        ("pkg:github/o/r", Some("pkg:github/o/r@1"), "repository https://github.com/O/r.git", true),
        ("pkg:github/o/r", Some("pkg:github/o/r@1"), "repository o/r", true),
        ("pkg:github/o/r", Some("pkg:github/o/r@1"), "repository o/s", false),
    ];
    for (name, purl, on, expected) in CASES {
        // Of a component, so that the asset alone decides.
        let stated = said(None, product(name, *purl), "a 1 -", true);
        assert_eq!(is_about(&stated, &asset(on), "a 1 -"), *expected, "{name} {purl:?} {on}");
        assert!(!is_about(&stated, &asset(on), "b 1 -"), "both have to match");
    }
}

#[test]
fn the_shape_of_a_statement_says_what_has_to_match() {
    let shop = || product("shop", None);
    // By the caller's asset, whether it is part of a product, the finding's asset and component.
    let cases = [
        (None, false, "elsewhere", "a 1 -", true),
        (None, false, "shop", "b 1 -", true),
        (None, false, "elsewhere", "b 1 -", false),
        (None, true, "shop", "a 1 -", true),
        (None, true, "elsewhere", "a 1 -", false),
        (None, true, "shop", "b 1 -", false),
        (Some("shop"), false, "shop", "a 1 -", true),
        (Some("shop"), false, "shop", "b 1 -", true),
        (Some("stall"), false, "stall", "a 1 -", true),
        (Some("stall"), false, "stall", "b 1 -", false),
        (Some("stall"), false, "shop", "a 1 -", false),
        (Some("stall"), true, "stall", "a 1 -", true),
        (Some("stall"), true, "stall", "b 1 -", false),
        (Some("stall"), true, "shop", "a 1 -", false),
    ];
    for (by_caller, part, on, found, expected) in cases {
        let stated = said(by_caller, shop(), "a 1 -", part);
        assert_eq!(is_about(&stated, &asset(on), found), expected, "{by_caller:?} {part} {on} {found}");
    }
}

fn statements() -> impl Strategy<Value = Statement> {
    let verdict = prop_oneof![Just(None), Just(Some(Verdict::of(Status::Fixed)))];
    let subject = select(vec!["a 1 -", "a - -", "- - pkg:npm/a", "- - pkg:npm/a@1"]);
    let shape = (any::<bool>(), any::<bool>());
    (0..3i64, verdict, subject, shape, any::<u128>()).prop_map(
        |(at, verdict, subject, (named, part), key)| {
            let asset = named.then_some("shop");
            Statement {
                series: Uuid::from_u128(key & 3),
                key: Uuid::from_u128(key),
                said_at: Timestamp(at),
                said: Said { verdict, ..said(asset, product("shop", None), subject, part) },
            }
        },
    )
}

/// Package URLs of a few packages, with whatever may come behind them.
fn purls() -> impl Strategy<Value = String> {
    let name = select(vec!["npm/a", "npm/%40s/a", "pypi/a", "deb/debian/a"]);
    let version = select(vec!["", "@1", "@2"]);
    let rest = select(vec!["", "?arch=amd64", "?arch=arm64&distro=x", "?arch=amd64#sub"]);
    (name, version, rest).prop_map(|(name, version, rest)| format!("pkg:{name}{version}{rest}"))
}

proptest! {
    #[test]
    fn which_statement_counts_does_not_hang_on_their_order(
        mut all in proptest::collection::vec(statements(), 1..6),
    ) {
        let first = last(all.iter()).cloned();
        all.reverse();
        prop_assert_eq!(&first, &last(all.iter()).cloned());
        let counts = first.expect("there is one");
        prop_assert!(all.iter().all(|one| one.said_at <= counts.said_at), "nothing was said later");
        if counts.said.verdict.is_some() {
            let as_close = |one: &&Statement| {
                one.said_at == counts.said_at && one.said.closeness() == counts.said.closeness()
            };
            prop_assert!(all.iter().filter(as_close).all(|one| one.said.verdict.is_some()));
        }
    }

    #[test]
    fn a_package_is_itself_and_less_said_holds_of_more(one in purls(), other in purls()) {
        let holds = |stated: &str, found: &str| {
            let stated = said(None, product("", None), &format!("- - {stated}"), false);
            is_about(&stated, &asset("host"), &format!("- - {found}"))
        };
        prop_assert!(holds(&one, &one));
        let end = one.find(['@', '?']).unwrap_or(one.len());
        if holds(&one, &other) {
            prop_assert!(holds(&one[..end], &other), "{one} {other}");
        }
        if holds(&one, &other) && holds(&other, &one) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn no_text_breaks_the_matching(name in ".{0,20}", purl in "(pkg:)?.{0,24}", kind in select(vec![None, Some("container_image")])) {
        let stated = said(None, product(&name, Some(&purl)), "a 1 -", true);
        let on = ReportedAsset { name: purl.clone(), kind: kind.map(str::to_owned) };
        let _ = is_about(&stated, &on, "a 1 -");
        let itself = ReportedAsset { name: name.clone(), kind: None };
        prop_assert_eq!(is_about(&stated, &itself, "a 1 -"), !name.is_empty() || is_asset(&stated.product, &itself));
    }
}
