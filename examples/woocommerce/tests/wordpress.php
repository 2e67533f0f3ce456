<?php
// As much of WordPress and WooCommerce as the plugin uses: hooks, options, transients, HTTP, orders. Data is in JSON files of
// the current directory. No request leaves this machine.

const ABSPATH = __DIR__ . '/';
const WEEK_IN_SECONDS = 604800;

final class WP_Error
{
    public function __construct(public string $code, private string $message)
    {
    }

    public function get_error_message(): string
    {
        return $this->message;
    }
}

function is_wp_error($thing): bool
{
    return $thing instanceof WP_Error;
}

function add_filter(string $hook, callable $callback, int $priority = 10, int $accepted = 1): void
{
    $GLOBALS['hooks'][$hook][$priority][] = [$callback, $accepted];
}

function add_action(string $hook, callable $callback, int $priority = 10, int $accepted = 1): void
{
    add_filter($hook, $callback, $priority, $accepted);
}

function apply_filters(string $hook, $value, ...$more)
{
    $callbacks = $GLOBALS['hooks'][$hook] ?? [];
    ksort($callbacks);
    foreach (array_merge(...$callbacks) as [$callback, $accepted]) {
        $value = $callback(...array_slice([$value, ...$more], 0, $accepted));
    }
    return $value;
}

function do_action(string $hook, ...$arguments): void
{
    apply_filters($hook, ...$arguments);
}

function get_option(string $name, $default = false)
{
    $value = apply_filters("pre_option_$name", false, $name, $default);
    return $value !== false ? $value : load('options')[$name] ?? $default;
}

function get_transient(string $name)
{
    $transient = load('transients')[$name] ?? ['expires_at' => 0];
    return $transient['expires_at'] > time() ? $transient['value'] : false;
}

function set_transient(string $name, $value, int $seconds): void
{
    save('transients', [$name => ['value' => $value, 'expires_at' => time() + $seconds]] + load('transients'));
}

function wp_remote_request(string $url, array $arguments = [])
{
    $arguments += ['method' => 'GET', 'timeout' => 5, 'redirection' => 5, 'headers' => [], 'body' => null];
    $answer = apply_filters('pre_http_request', false, $arguments, $url);
    if ($answer !== false) {
        return $answer;
    }
    $arguments['url'] = $url;
    save('requests', [...load('requests'), $arguments]);
    if (parse_url($url, PHP_URL_HOST) !== '127.0.0.1') {
        return new WP_Error('http_request_failed', "$url is not on this machine");
    }
    $body = @file_get_contents($url, false, stream_context_create(['http' => [
        'method' => $arguments['method'],
        'timeout' => $arguments['timeout'],
        'header' => array_map(fn ($name, $value) => "$name: $value", array_keys($arguments['headers']), $arguments['headers']),
        'content' => $arguments['body'] ?? '',
        'ignore_errors' => true,
        'follow_location' => 0,
    ]]));
    if ($body === false) {
        return new WP_Error('http_request_failed', 'no answer');
    }
    return ['headers' => [], 'body' => $body, 'response' => ['code' => (int) explode(' ', $http_response_header[0])[1]]];
}

function wp_remote_retrieve_body($answer): string
{
    return is_wp_error($answer) ? '' : $answer['body'];
}

function wp_remote_retrieve_response_code($answer)
{
    return is_wp_error($answer) ? '' : $answer['response']['code'];
}

function untrailingslashit(string $text): string
{
    return rtrim($text, '/');
}

function esc_html(string $text): string
{
    return htmlspecialchars($text);
}

function esc_url(string $url): string
{
    return htmlspecialchars($url);
}

final class WC_Order
{
    public function __construct(private array $fields)
    {
    }

    public function get_payment_method(): string
    {
        return $this->fields['payment_method'];
    }

    public function get_status(): string
    {
        return $this->fields['status'];
    }
}

function wc_get_order($id)
{
    $fields = load('orders')[$id] ?? null;
    return $fields === null ? false : new WC_Order($fields);
}

function wc_get_order_status_name(string $status): string
{
    return ['pending' => 'Pendiente de pago', 'processing' => 'Procesando'][$status];
}

function load(string $name): array
{
    return is_file("$name.json") ? json_decode(file_get_contents("$name.json"), true, 512, JSON_THROW_ON_ERROR) : [];
}

function save(string $name, array $data): void
{
    file_put_contents("$name.json", json_encode($data, JSON_THROW_ON_ERROR));
}
