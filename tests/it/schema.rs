//! The schema that is kept is the schema that is served.

#[test]
fn schema_graphql_is_in_step() {
    let kept = include_str!("../../schema.graphql");
    let served = api::graphql::sdl();
    let differ = kept.lines().zip(served.lines()).position(|(kept, served)| kept != served);
    assert!(
        kept == served,
        "schema.graphql differs from line {:?}; write it anew: cargo run --bin countersign -- schema > schema.graphql",
        differ.map(|at| at + 1)
    );
}
