//! Indexes for walks over all findings of a company: by their ids, as a sweep goes, and the worst
//! first, as a list without a filter does.

crate::step! {"
CREATE INDEX finding_by_id ON finding (company_id, id);
CREATE INDEX finding_worst ON finding (company_id, severity, id);
", drops indexes "finding_worst", "finding_by_id"}
