//! Relay connections.

use async_graphql::{Enum, SimpleObject};
use domain::error::Result;
use domain::page::{Page, PageArgs};
use futures_util::future::BoxFuture;
use record::record;

/// Where a page stands in its list.
#[record]
#[derive(SimpleObject)]
pub struct PageInfo {
    /// There are rows after this page.
    pub has_next_page: bool,
    /// There are rows before this page.
    pub has_previous_page: bool,
    /// The cursor of the first row; null on an empty page.
    pub start_cursor: Option<String>,
    /// The cursor of the last row; null on an empty page.
    pub end_cursor: Option<String>,
}

/// Which way a list is sorted. Rows without a value come last either way.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum OrderDirection {
    /// Smallest, earliest or first in the alphabet first.
    Asc,
    /// Greatest, latest or last in the alphabet first.
    Desc,
}

impl OrderDirection {
    pub fn descends(self) -> bool {
        self == Self::Desc
    }
}

/// The four arguments of every connection.
pub fn args(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> PageArgs {
    PageArgs { first: first.map(i64::from), after, last: last.map(i64::from), before }
}

/// Counts a whole list when `totalCount` is asked for, and not before.
pub struct Counter(Box<dyn Fn() -> BoxFuture<'static, Result<i64>> + Send + Sync>);

impl Counter {
    pub fn new<F: Future<Output = Result<i64>> + Send + 'static>(
        count: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move || Box::pin(count())))
    }

    pub async fn count(&self) -> Result<i64> {
        (self.0)().await
    }
}

/// What `pageInfo` says of a page.
pub fn info<T>(page: &Page<T>) -> PageInfo {
    PageInfo {
        has_next_page: page.has_next,
        has_previous_page: page.has_previous,
        start_cursor: page.edges.first().map(|edge| edge.cursor.clone()),
        end_cursor: page.edges.last().map(|edge| edge.cursor.clone()),
    }
}

/// Declares the connection and the edge of a node: `connection!(AssetConnection, AssetEdge,
/// AssetNode, "A page of assets.", "An asset in a page.")`.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty, $doc:literal, $edge_doc:literal) => {
        #[doc = $edge_doc]
        #[record::record]
        #[derive(async_graphql::SimpleObject)]
        pub struct $edge {
            /// Where the row stands: the next page is asked for `after` it.
            cursor: String,
            /// The row.
            node: $node,
        }

        #[doc = $doc]
        pub struct $connection {
            edges: Vec<$edge>,
            info: $crate::graphql::page::PageInfo,
            total: $crate::graphql::page::Counter,
        }

        impl $connection {
            pub(crate) fn new<T>(page: domain::page::Page<T>, total: $crate::graphql::page::Counter) -> Self
            where
                $node: From<T>,
            {
                let info = $crate::graphql::page::info(&page);
                let edge =
                    |edge: domain::page::Edge<T>| $edge { cursor: edge.cursor, node: edge.node.into() };
                Self { edges: page.edges.into_iter().map(edge).collect(), info, total }
            }
        }

        #[doc = $doc]
        #[record::record]
        #[async_graphql::Object]
        impl $connection {
            /// The rows with their cursors.
            fn edges(&self) -> &[$edge] {
                &self.edges
            }

            /// The rows alone.
            fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            /// Where the page stands in its list.
            fn page_info(&self) -> &$crate::graphql::page::PageInfo {
                &self.info
            }

            /// How many rows the list has on all its pages. It is counted only if asked for.
            async fn total_count(&self) -> async_graphql::Result<i64> {
                Ok(self.total.count().await?)
            }
        }
    };
}
pub(crate) use connection;
