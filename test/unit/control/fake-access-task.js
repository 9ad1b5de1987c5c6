/** A password check for tests: `slow` takes a second, anything else is right when it is `secret`. */

// piscina calls a module's default export.
export default async function verify(job) {
  const password = new TextDecoder().decode(job.password);
  if (password === 'slow') await new Promise((resolve) => setTimeout(resolve, 1_000));
  return password === 'secret';
}
