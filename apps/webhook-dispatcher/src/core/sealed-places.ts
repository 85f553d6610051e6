/** Where an endpoint's signing secrets are sealed for. */
export function endpointSecretsPlace(tenant: string, id: string): string {
  return `${tenant}/endpoint/${id}`;
}

/** Where the headers are that go along to an endpoint. */
export function endpointHeadersPlace(tenant: string, id: string): string {
  return `${tenant}/endpoint/${id}/headers`;
}
