//! Pages of a real list, in both directions.

use domain::error::Code;
use domain::inventory::asset::{AssetFilter, AssetOrder, NewAsset};
use domain::page::{OrderBy, PageArgs};
use domain::vocabulary::terms::{Criticality, Term};

use support::{World, on_both};

use crate::ground::{Ground, refused};

on_both!(every_order_is_walked_both_ways, a_cursor_is_of_its_list_and_order_alone,);

async fn every_order_is_walked_both_ways(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    for at in 0..23_u8 {
        let criticality = Criticality::from_code(at % 5);
        let new = NewAsset { name: format!("a-{}", at * 7 % 23), criticality, ..NewAsset::default() };
        domain.asset_create(&ground.admin, new).await.unwrap();
    }
    let any = AssetFilter::default();
    for by in AssetOrder::ALL {
        for descending in [false, true] {
            let order = OrderBy { by: *by, descending };
            let whole = domain.assets(&ground.admin, &any, order, &PageArgs::default()).await.unwrap();
            assert!(!whole.has_next && !whole.has_previous);
            let whole: Vec<_> = whole.nodes().collect();
            assert_eq!(whole.len(), 23);
            if *by == AssetOrder::Criticality {
                let ranks: Vec<_> = whole.iter().map(|asset| asset.criticality).collect();
                let first = if descending { Criticality::Critical } else { Criticality::Low };
                assert_eq!((ranks[0], ranks[22]), (Some(first), None), "without a value comes last");
            }
            let (mut forward, mut after) = (Vec::new(), None);
            loop {
                let args = PageArgs { first: Some(5), after: after.take(), ..PageArgs::default() };
                let page = domain.assets(&ground.admin, &any, order, &args).await.unwrap();
                after = page.edges.last().map(|edge| edge.cursor.clone());
                let more = page.has_next;
                forward.extend(page.nodes());
                if !more {
                    break;
                }
            }
            assert_eq!(forward, whole);
            let (mut backward, mut before) = (Vec::new(), None);
            loop {
                let args = PageArgs { last: Some(4), before: before.take(), ..PageArgs::default() };
                let page = domain.assets(&ground.admin, &any, order, &args).await.unwrap();
                before = page.edges.first().map(|edge| edge.cursor.clone());
                let more = page.has_previous;
                backward.splice(0..0, page.nodes());
                if !more {
                    break;
                }
            }
            assert_eq!(backward, whole);
        }
    }
}

async fn a_cursor_is_of_its_list_and_order_alone(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    for name in ["a", "b"] {
        let new = NewAsset { name: name.into(), ..NewAsset::default() };
        domain.asset_create(&ground.admin, new).await.unwrap();
    }
    let any = AssetFilter::default();
    let by_name = OrderBy::ascending(AssetOrder::Name);
    let page = domain.assets(&ground.admin, &any, by_name, &PageArgs::first(1)).await.unwrap();
    let cursor = page.edges[0].cursor.clone();
    let after = |cursor: &str| PageArgs { after: Some(cursor.to_owned()), ..PageArgs::default() };
    let ok = domain.assets(&ground.admin, &any, by_name, &after(&cursor)).await.unwrap();
    assert_eq!((ok.edges.len(), ok.has_previous, ok.has_next), (1, true, false));
    for order in [OrderBy::descending(AssetOrder::Name), OrderBy::ascending(AssetOrder::UpdatedAt)] {
        refused(domain.assets(&ground.admin, &any, order, &after(&cursor)).await, Code::CursorInvalid);
    }
    for bad in ["", "x", "W10", &cursor[1..]] {
        refused(domain.assets(&ground.admin, &any, by_name, &after(bad)).await, Code::CursorInvalid);
    }
    refused(domain.assets(&ground.admin, &any, by_name, &PageArgs::first(501)).await, Code::Invalid);
    let none = domain.assets(&ground.admin, &any, by_name, &PageArgs::first(0)).await.unwrap();
    assert!(none.edges.is_empty() && none.has_next);
}
