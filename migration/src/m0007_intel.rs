//! Intelligence: what feeds say of CVEs, how the feeds stand, and which findings name which CVE.
//!
//! `cve_fact` has one row a company, feed and CVE, so that feeds do not overwrite each other; a row
//! whose fact is gone was withdrawn by its feed and waits for its findings to hear of it. `load` is
//! the number of the load that wrote the row last: findings have heard of those up to
//! `feed_state.informed`. `finding_cve` follows the
//! names of the vulnerabilities of findings (CVE ids, and what else a scanner calls them), in the
//! transactions that write them.

crate::step! {"
CREATE TABLE cve_fact (
    company_id $UUID NOT NULL,
    feed INTEGER NOT NULL,
    cve_id $TEXT NOT NULL,
    fact $TEXT,
    load BIGINT NOT NULL,
    PRIMARY KEY (company_id, feed, cve_id)
) $CLUSTERED;
CREATE TABLE feed_state (
    company_id $UUID NOT NULL,
    feed INTEGER NOT NULL,
    loads BIGINT NOT NULL,
    informed BIGINT NOT NULL,
    loading $UUID,
    loaded_at BIGINT,
    current_at BIGINT,
    as_of BIGINT,
    facts BIGINT NOT NULL,
    digest $TEXT,
    source $TEXT,
    fetch_until BIGINT,
    fetch_next BIGINT,
    failures INTEGER NOT NULL,
    etag $TEXT,
    modified $TEXT,
    error $TEXT,
    error_at BIGINT,
    PRIMARY KEY (company_id, feed)
);
CREATE TABLE finding_cve (
    company_id $UUID NOT NULL,
    cve_id $TEXT NOT NULL,
    finding_id $UUID NOT NULL,
    PRIMARY KEY (company_id, cve_id, finding_id)
) $CLUSTERED;
", drops "finding_cve", "feed_state", "cve_fact"}
