// What a client with Relay asks: fragments, a connection that is paged, a refetch through `node`, a
// mutation and a subscription. This file is read by relay-compiler and never run: `clients.mjs` runs
// what the compiler makes of it.

graphql`
  fragment documentsAsset on Asset {
    id
    name
    tags
    version
    ownerTeam {
      id
      name
    }
  }
`;

// Paged: the compiler writes `documentsAssetsPage`, which asks for the next page.
graphql`
  fragment documentsAssets on Query
  @refetchable(queryName: "documentsAssetsPage")
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" }) {
    assets(first: $count, after: $cursor, orderBy: { field: NAME })
      @connection(key: "documents_assets") {
      totalCount
      edges {
        cursor
        node {
          ...documentsAsset
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
`;

graphql`
  query documentsListQuery($count: Int!) {
    ...documentsAssets @arguments(count: $count)
  }
`;

// Refetched: the compiler writes `documentsAssetAgain`, which asks `node` for the record.
graphql`
  fragment documentsCard on Asset @refetchable(queryName: "documentsAssetAgain") {
    ...documentsAsset
    updatedAt
    viewerCan {
      edit {
        allowed
        reason
      }
    }
  }
`;

graphql`
  query documentsCardQuery($id: ID!) {
    node(id: $id) {
      __typename
      ...documentsCard @alias(as: "card")
    }
  }
`;

graphql`
  mutation documentsTagMutation($id: ID!, $version: Int!, $input: AssetUpdateInput!) {
    assetUpdate(id: $id, expectedVersion: $version, input: $input) {
      asset {
        ...documentsAsset
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`;

// What an interface and a union are told apart by.
graphql`
  subscription documentsChangesSubscription($after: String) {
    findingChanged(after: $after) {
      __typename
      ... on FindingSnapshot {
        cursor
      }
      ... on FindingChange {
        cursor
        delta
        finding {
          id
          title
          severity
          asset {
            ...documentsAsset
          }
        }
      }
    }
  }
`;

graphql`
  query documentsJobsQuery($count: Int!, $cursor: String) {
    jobs(first: $count, after: $cursor) @connection(key: "documents_jobs") {
      edges {
        node {
          __typename
          id
          state
          ... on ImportJob {
            uploadUrl
          }
        }
      }
    }
  }
`;
