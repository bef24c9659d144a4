//! What the columns of a house's own reports mean.

crate::step! {"
CREATE TABLE saved_mapping (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    format $TEXT NOT NULL,
    mapping $TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
", drops "saved_mapping"}
