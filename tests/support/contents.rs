//! Everything that a database holds, as text: for what must not write anything.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

use crate::{Engine, World};

impl World {
    /// The rows of every table, each as one text, sorted.
    pub async fn contents(&self) -> BTreeMap<String, Vec<String>> {
        let tables = Database::connect(self.url()).await.expect("the database opens");
        let names = match self.engine {
            Engine::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            }
            Engine::Postgres => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        };
        let mut contents = BTreeMap::new();
        for table in texts(&tables, names).await {
            let row = match self.engine {
                Engine::Sqlite => {
                    let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                    let columns = texts(&tables, &columns).await;
                    columns
                        .iter()
                        .map(|name| format!("quote(\"{name}\")"))
                        .collect::<Vec<_>>()
                        .join("||','||")
                }
                Engine::Postgres => format!("\"{table}\"::text"),
            };
            let rows = texts(&tables, &format!("SELECT {row} AS row FROM \"{table}\" ORDER BY 1")).await;
            contents.insert(table, rows);
        }
        tables.close().await.expect("a database closes");
        contents
    }
}

/// The first column of each row.
async fn texts(tables: &DatabaseConnection, sql: &str) -> Vec<String> {
    let backend = tables.get_database_backend();
    debug_assert!(matches!(backend, DbBackend::Sqlite | DbBackend::Postgres));
    let rows = tables.query_all_raw(Statement::from_string(backend, sql.to_owned())).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.try_get_by_index(0).expect("the column is a text")).collect()
}

impl World {
    /// Takes a finding's row away, as nothing in the product does yet.
    pub async fn forget_finding(&self, id: Uuid) {
        self.write_row(&format!("DELETE FROM finding WHERE id = {}", self.id(id))).await;
    }

    /// Gives a rule criteria that no release reads, as a later one may have left them.
    pub async fn garble_rule(&self, id: Uuid) {
        let criteria = r#"{"field":"phase_of_the_moon","operator":"eq","value":"full"}"#;
        self.write_row(&format!("UPDATE rule SET criteria = '{criteria}' WHERE id = {}", self.id(id))).await;
    }

    fn id(&self, id: Uuid) -> String {
        let hex = id.simple();
        match self.engine {
            Engine::Sqlite => format!("x'{hex}'"),
            Engine::Postgres => format!("'{hex}'"),
        }
    }

    /// Writes to one row, past everything.
    async fn write_row(&self, sql: &str) {
        let tables = Database::connect(self.url()).await.expect("the database opens");
        let written = tables.execute_unprepared(sql).await;
        assert_eq!(written.expect("the row can be written").rows_affected(), 1);
        tables.close().await.expect("a database closes");
    }
}
