/**
 * Asks for the admin token before anything can be shown.
 */
import { useState } from "preact/hooks";

interface TokenFormProps {
  readonly isRefused: boolean;
  readonly handleToken: (token: string) => void;
}

export function TokenForm({ isRefused, handleToken }: TokenFormProps) {
  const [token, setToken] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    if (token.trim() !== "") handleToken(token.trim());
  };
  return (
    <main class="entrance">
      <h1>Millrace</h1>
      <form onSubmit={submit}>
        <label for="token">Admin token</label>
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          required
          aria-describedby="token-says"
          aria-invalid={isRefused}
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <button type="submit">Show the dashboard</button>
        <p id="token-says" role={isRefused ? "alert" : undefined} class={isRefused ? "bad" : "muted"}>
          {isRefused ? "This is not the token." : "It is kept until this tab is closed, and sent to this proxy only."}
        </p>
      </form>
    </main>
  );
}
