/** The uWebSockets.js apps of this thread, kept apart from their making so that a thread without WebSocket never loads uWS. */

interface ClosableApp {
  close(): unknown;
}

const apps = new Set<ClosableApp>();

export function addApp(app: ClosableApp): void {
  apps.add(app);
}

/** Closes the app with all its sockets; once. */
export function closeApp(app: ClosableApp): void {
  if (apps.delete(app)) app.close();
}

/** Closes every listener and socket of uWS in this thread: must happen before the thread ends, else uWS aborts the whole process. */
export function closeAllApps(): void {
  for (const app of [...apps]) closeApp(app);
}
