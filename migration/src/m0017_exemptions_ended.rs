//! Exemptions that ended, so that it can be told of which findings a rule did not speak at any time.

crate::step! {"
CREATE TABLE rule_exemption_ended (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    rule_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    content_hash $TEXT NOT NULL,
    job_id $UUID NOT NULL,
    author_id $UUID NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    ended_by $UUID NOT NULL,
    ended_how INTEGER NOT NULL
);
CREATE INDEX exemption_ended_of_rule ON rule_exemption_ended (company_id, rule_id, id);
", drops "rule_exemption_ended"}
